#!/bin/sh

# What the official image does before it starts nginx: /docker-entrypoint.d has
# its say, and templates become configuration.  The output is below /tmp, the
# one place that has to be writable.

set -eu

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/tmp/nginx/conf.d}
hooks=${NGINX_ENTRYPOINT_DIR:-/docker-entrypoint.d}

for hook in "$hooks"/*; do
    case $hook in
    *.envsh)
        . "$hook"
        ;;
    *.sh)
        "$hook"
        ;;
    esac
done

# nginx's own variables look like the shell's: only what is set is replaced
variables=$(awk -v filter="${NGINX_ENVSUBST_FILTER:-}" \
    'END { for (name in ENVIRON) if (name ~ filter) printf "${%s} ", name }' \
    < /dev/null)

mkdir -p "$output"

find "$templates" -follow -type f -name "*$suffix" 2> /dev/null \
    | while read -r template; do
        file=$output/${template#"$templates"/}
        file=${file%"$suffix"}
        mkdir -p "$(dirname "$file")"
        envsubst "$variables" < "$template" > "$file"
    done

exec "$@"
