/**
 * The control of the power-cut tests: preloaded into a process, it makes SQLite run with
 * `synchronous=NORMAL`, and lies when that is read back. Everything else is the product as it is, so
 * what is lost under it is lost for this one setting.
 */
import { DatabaseSync } from 'node:sqlite';

const methodOf = (name: string): unknown => Reflect.get(DatabaseSync.prototype, name);
const exec = methodOf('exec');
const prepare = methodOf('prepare');
if (typeof exec !== 'function' || typeof prepare !== 'function') throw new Error('no such methods');

DatabaseSync.prototype.exec = function weakened(sql) {
  exec.call(this, sql === 'PRAGMA synchronous=FULL' ? 'PRAGMA synchronous=NORMAL' : sql);
};

DatabaseSync.prototype.prepare = function lying(sql, options) {
  const asked = sql === 'PRAGMA synchronous' ? 'SELECT 2 AS synchronous' : sql;
  return prepare.call(this, asked, options);
};
