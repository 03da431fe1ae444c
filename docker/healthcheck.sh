#!/bin/bash

# Whether nginx answers; bash speaks enough HTTP for that.

exec 3<> "/dev/tcp/127.0.0.1/${NGINX_STATUS_PORT:-8081}" || exit 1
printf 'GET /health HTTP/1.0\r\n\r\n' >&3
read -r -t 2 _ status _ <&3
[ "$status" = 200 ]
