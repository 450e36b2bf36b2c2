# Completion of pvenetctl for bash: /usr/share/bash-completion/completions/pvenetctl
_pvenetctl() {
	local line=${COMP_LINE:0:COMP_POINT} last
	local -a words
	# As it was typed: bash itself takes vm:1 and address=192 for several words, of which it replaces the last.
	read -ra words <<<"$line"
	[[ $line == *[[:blank:]] ]] && words+=("")
	last=${words[-1]}
	mapfile -t COMPREPLY < <(pvenetctl complete "${words[@]:1}" 2>/dev/null)
	COMPREPLY=("${COMPREPLY[@]#"${last%"${last##*["$COMP_WORDBREAKS"]}"}"}")
	[[ ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
}
complete -o default -F _pvenetctl pvenetctl
