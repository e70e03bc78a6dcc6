/**
 * `coffer completion`: a few lines for each shell; the candidates come from `coffer __complete`, so
 * that they are never older than the program.
 */
import { asksNobody, type CommandSpec } from './command-spec.ts';

const scripts = {
  bash: `_coffer() {
  local candidates
  mapfile -t candidates < <(coffer __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=()
  local candidate
  for candidate in "\${candidates[@]}"; do
    [ "\${candidate}" = ":files" ] && { compopt -o default; continue; }
    COMPREPLY+=("\${candidate%%$'\\t'*}")
  done
}
complete -F _coffer coffer
`,
  zsh: `#compdef coffer
_coffer() {
  local -a candidates described
  local candidate
  candidates=("\${(@f)$(coffer __complete -- "\${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}")
  for candidate in $candidates; do
    if [[ $candidate == ':files' ]]; then _files; else described+=("\${candidate/$'\\t'/:}"); fi
  done
  (( \${#described} )) && _describe coffer described
}
compdef _coffer coffer
`,
  fish: `function __coffer_complete
  set -l words (commandline -opc) (commandline -ct)
  coffer __complete -- $words[2..-1] 2>/dev/null | string match -v ':files'
end
complete -c coffer -f -a '(__coffer_complete)'
`,
  powershell: `Register-ArgumentCompleter -Native -CommandName coffer -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($wordToComplete -eq '') { $words += '' }
  coffer __complete -- @words 2>$null | Where-Object { $_ -ne ':files' } | ForEach-Object {
    $parts = $_ -split "\`t", 2
    $about = if ($parts.Count -gt 1) { $parts[1] } else { $parts[0] }
    [System.Management.Automation.CompletionResult]::new($parts[0], $parts[0], 'ParameterValue', $about)
  }
}
`,
} as const;

const setUp: Readonly<Record<keyof typeof scripts, readonly string[]>> = {
  bash: [
    'source <(coffer completion bash)',
    'coffer completion bash > /etc/bash_completion.d/coffer    # for everybody',
  ],
  zsh: ['source <(coffer completion zsh)', 'coffer completion zsh > "${fpath[1]}/_coffer"'],
  fish: [
    'coffer completion fish | source',
    'coffer completion fish > ~/.config/fish/completions/coffer.fish',
  ],
  powershell: [
    'coffer completion powershell | Out-String | Invoke-Expression',
    'coffer completion powershell >> $PROFILE',
  ],
};

export const commands: readonly CommandSpec[] = (
  ['bash', 'zsh', 'fish', 'powershell'] as const
).map(
  (shell): CommandSpec => ({
    name: `completion ${shell}`,
    summary: `Print completion for ${shell}`,
    examples: setUp[shell],
    permissions: asksNobody,
    async run(session) {
      session.print(scripts[shell]);
    },
  }),
);
