# Runs in the image: a daemon becomes healthy by the image's own check, trains all there is, and stops cleanly.
set -eu

if touch /written 2>/dev/null; then
    echo "the root can be written to" >&2
    exit 1
fi

learnd run /mnt/settings.yaml --state /state &
daemon=$!

healthy() {
    set --
    while IFS= read -r word; do set -- "$@" "$word"; done </mnt/healthcheck
    "$@" 2>/dev/null
}

tries=0
until healthy && learnd status /state | grep "2,000 went through"; do
    tries=$((tries + 1))
    kill -0 $daemon && [ $tries -lt 300 ] || { echo "the daemon does not train" >&2; exit 1; }
    sleep 1
done

python3 -c "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9464/metrics').read().decode())" \
    | grep '^learnd_build_info.*tensorflow="2'
kill -TERM $daemon
wait $daemon
learnd checkpoints verify /state
learnd checkpoints export /state /tmp/model.keras
