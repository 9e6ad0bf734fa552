#!/usr/bin/awk -f
# A coalescer after autosync-wire(7): once a second, whatever was touched leaves. To run it instead of ours:
#     [coalesce]
#     command = gawk -f /path/to/coalesce.awk       (or: mawk -W interactive -f ...)
BEGIN {
    lines = "(while sleep 1; do echo; done) & cat; kill $!"
    while ((lines | getline line) > 0) {
        if (line == "") leave()
        root = pair(line, "root", "root")
        if (line ~ /"type": ?"fs.rescan"/) full[root]
        if (line ~ /"type": ?"fs.changed"/) {
            dirty[root, pair(line, "path", "path")]
            if (line ~ /"source"/) dirty[root, pair(line, "source", "path")]
        }
    }
    leave()
}
function leave(    key, part, changes) {
    for (key in dirty) {
        split(key, part, SUBSEP)
        changes[part[1]] = changes[part[1]] ",{" part[2] ",\"kind\":\"written\"}"
        if (length(changes[part[1]]) > 200000) full[part[1]]
        delete dirty[key]
    }
    for (root in changes)
        if (!(root in full)) print "{\"type\":\"batch.settled\"," root ",\"changes\":[" substr(changes[root], 2) "]}"
    for (root in full) { print "{\"type\":\"batch.settled\"," root ",\"full\":true}"; delete full[root] }
    fflush()
}
function pair(line, name, as,    bytes) {      # "as":"...", and "as_bytes":"..." where there is one
    bytes = text(line, name "_bytes")
    return "\"" as "\":" text(line, name) (bytes == "" ? "" : ",\"" as "_bytes\":" bytes)
}
function text(line, name) {                    # the JSON string that follows "name":
    if (!match(line, "\"" name "\": ?\"([^\"\\\\]|\\\\.)*\"")) return ""
    line = substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
    return substr(line, index(line, "\""))
}
