/**
 * Label selectors as people know them: `team=payments,tier!=web,critical,!draft`. All conditions hold.
 *
 * A condition `key!=value` also holds where the label is missing, as in Kubernetes.
 */
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';

type Labels = Readonly<Record<string, string>>;
export type LabelSelector = (labels: Labels) => boolean;

const conditionPattern =
  /^(?<not>!?)(?<key>[A-Za-z0-9][A-Za-z0-9._/-]{0,252})(?:(?<operator>!?=)(?<value>[^,=!]*))?$/;

/** @throws Fault `request.invalid` */
export function parseLabelSelector(text: string): LabelSelector {
  const parts = text.split(',', limits.labelsMax + 1);
  if (parts.length > limits.labelsMax) throw wrong('has too many conditions');
  const conditions = parts.map(parseCondition);
  return (labels) => conditions.every((holds) => holds(labels));
}

function parseCondition(text: string): LabelSelector {
  const groups = conditionPattern.exec(text)?.groups;
  if (!groups) throw wrong('must be conditions like key=value, key!=value, key or !key');
  const { not = '', key = '', operator, value = '' } = groups;
  if (operator === undefined) {
    return (labels) => Object.hasOwn(labels, key) === (not === '');
  }
  if (not !== '') throw wrong('takes no value after !key');
  if (operator === '=') return (labels) => Object.hasOwn(labels, key) && labels[key] === value;
  return (labels) => !Object.hasOwn(labels, key) || labels[key] !== value;
}

function wrong(problem: string): Fault {
  return new Fault('request.invalid', { what: 'selector', problem });
}
