# Completion of pvenetctl for fish: /usr/share/fish/vendor_completions.d/pvenetctl.fish
function __pvenetctl
    set -l words (commandline -opc)
    pvenetctl complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c pvenetctl -f -a '(__pvenetctl)'
complete -c pvenetctl -n '__fish_seen_subcommand_from check' -F
complete -c pvenetctl -s w -l write -r -F
complete -c pvenetctl -l file -r -F
complete -c pvenetctl -l root -x -a '(__fish_complete_directories)'
