#!/bin/sh
# Shows on the desktop what other hosts changed and what needs you, a bubble each.
# Needs jq and notify-send. Run it once in your session: ./notify.sh &
autosync log -f -n 0 --json |
    jq --unbuffered -r 'select(.event | IN("pulled", "merged", "CONFLICT", "HELD"))
        | "\(.name // "autosync") \(.event)\t\(.text)"' |
    while IFS="$(printf '\t')" read -r title text; do
        notify-send --app-name=autosync -- "$title" "$text"
    done
