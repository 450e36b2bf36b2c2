# Completion of pvenetctl for bash: /usr/share/bash-completion/completions/pvenetctl
_pvenetctl() {
	mapfile -t COMPREPLY < <(pvenetctl complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _pvenetctl pvenetctl
