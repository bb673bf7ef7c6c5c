#!/bin/busybox sh
# Does not end on SIGTERM.
trap '' TERM
while :; do /bin/busybox sleep 1; done
