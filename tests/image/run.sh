#!/bin/sh
# Builds the Dockerfile with buildah in chroot isolation, on a Debian base that debootstrap makes in the place of the official
# image, and runs the daemon in the result: as the image's user, with a root that nobody can write to.
set -eu
cd "$(dirname "$0")/../.."

MOST_MB=1400
work=$(mktemp -d)
chmod 755 "$work"  # for the user of the image
export STORAGE_DRIVER=vfs
container=
trap '[ -z "$container" ] || buildah rm "$container" >/dev/null; rm -rf "$work"' EXIT

for tool in buildah debootstrap unshare; do
    command -v $tool >/dev/null || { echo "image-test needs $tool (on Debian: apt install buildah debootstrap)" >&2; exit 1; }
done

base=localhost/python:3.11-slim
if ! buildah inspect --type image $base >/dev/null 2>&1; then
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/root" >"$work/log" 2>&1 \
        || { tail -20 "$work/log"; exit 1; }
    rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/*
    container=$(buildah from scratch)
    cp -a "$work/root/." "$(buildah mount "$container")/"
    buildah commit --quiet "$container" $base
    buildah rm "$container" >/dev/null
fi

buildah bud --format docker --isolation chroot --network host --pull-never -v /etc/ssl/certs:/etc/ssl/certs:ro --tag learnd .
container=$(buildah from --pull-never localhost/learnd)
root=$(buildah mount "$container")

size=$(du -sm "$root" | cut -f 1)
echo "the image has $size MB, $(du -sm "$root/opt/learnd" | cut -f 1) of them learnd and what it is made of"
[ "$size" -le $MOST_MB ] || { echo "that is more than $MOST_MB MB" >&2; exit 1; }

user=$(buildah inspect --format '{{.OCIv1.Config.User}}' "$container")
[ "$user" = 10001:10001 ] || { echo "the image runs as $user" >&2; exit 1; }
buildah inspect --format '{{range .Docker.Config.Healthcheck.Test}}{{println .}}{{end}}' "$container" | tail -n +2 >"$work/healthcheck"
cp tests/image/inside.sh tests/image/settings.yaml "$work"
i=0; while [ $i -lt 2000 ]; do echo "{\"a\": $((i % 7)), \"y\": $((i % 7 > 3))}"; i=$((i + 1)); done >"$work/stream.jsonl"

# Not `buildah run`, which leaves the root writable for root.
unshare --mount sh -eu -c '
    root=$1 work=$2 user=$3
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t tmpfs -o uid=10001,gid=10001 state "$root/state"
    mount -t tmpfs tmp "$root/tmp"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$work" "$root/mnt"
    exec chroot --userspec="$user" "$root" \
        /usr/bin/env -i PATH=/opt/learnd/bin:/usr/local/bin:/usr/bin:/bin HOME=/state TF_CPP_MIN_LOG_LEVEL=2 sh /mnt/inside.sh
' sh "$root" "$work" "$user"
echo "the image is sound"
