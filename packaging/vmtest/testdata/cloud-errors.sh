#!/bin/bash
# Asks the provider for errors, directly and by the tier, and compares: prints the status, Retry-After and "same" or what differs.
token=$(cat /root/provider-token)
ask() {
	curl -s -o "$1" -w '%{http_code} %header{retry-after} %header{content-type} %header{x-request-id}' -H "X-Cloud: status=$2" \
		-H 'Content-Type: application/json' -d '{"model":"orch"}' "${@:3}"
}
for status in 401 429 500 503; do
	direct=$(ask /tmp/direct $status -H @<(echo "Authorization: Bearer $token") https://api.bed.test:9443/v1/chat/completions)
	passed=$(ask /tmp/passed $status http://127.0.0.1:8001/v1/chat/completions)
	if [ "$direct" = "$passed" ] && cmp -s /tmp/direct /tmp/passed; then
		set -- $passed
		echo "$1 $2 same"
	else
		echo "direct: $direct $(cat /tmp/direct)"
		echo "passed: $passed $(cat /tmp/passed)"
	fi
done
