#compdef pvenetctl
# Completion of pvenetctl for zsh: /usr/share/zsh/vendor-completions/_pvenetctl
local -a found
found=(${(f)"$(pvenetctl complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
if (( ${#found} )); then
	compadd -S '' -- ${(M)found:#*=}
	compadd -- ${found:#*=}
else
	_files
fi
