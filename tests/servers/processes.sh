# The processes of a server, by their ids in DIR/pids. Sourced by a server's script, which says
# by ours COMMANDLINE which are its own (an id may be another's by now), and by $signal how they
# are ended, if not by TERM.

# stop DIR: ends those that are still ours, and waits for them
stop() {
	[ -f "$1/pids" ] || return 0
	for p in $(cat "$1/pids"); do
		runs "$p" || continue
		kill "-${signal:-TERM}" "$p"
		i=0; while runs "$p" && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.05; done
	done
	rm -f "$1/pids"
}

runs() {
	ours "$({ tr '\0' ' ' < "/proc/$1/cmdline"; } 2>/dev/null)"
}
