# First command of the canary of an instrument with a tap. Whoever is started later has nothing but the bounding set
# of this process: only its children hold NET_RAW as the instrument does. It starts the adversary when it is asked to
# by a program of the same user, one at a time.
mkfifo /tmp/start /tmp/ended || exit 1
while :; do
  read -r word < /tmp/start
  /opt/node/bin/node --max-semi-space-size=1 --optimize-for-size /run/adversary/adversary.cjs
  echo ended > /tmp/ended
done
