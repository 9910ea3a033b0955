#!/bin/sh
# Makes the folder that Home Assistant builds its app from: make-app.sh DIR. DIR is then a repository of apps, to be published;
# or DIR/app alone goes to /addons/sms_bridge of a Home Assistant that may build local apps.
set -eu
[ $# -eq 1 ] || {
    echo "usage: scripts/make-app.sh DIR" >&2
    exit 2
}
cd "$(dirname "$0")/.."
target=$1
[ ! -e "$target/app/src" ] || {
    echo "make-app: $target/app/src is there already: name an empty folder" >&2
    exit 1
}
mkdir -p "$target"
cp -R homeassistant/repository.yaml homeassistant/app "$target"
mkdir "$target/app/src"
cp -R pyproject.toml README.md LICENSE hardware sms_bridge "$target/app/src"
find "$target/app/src" -name __pycache__ -type d -prune -exec rm -rf {} +
echo "make-app: done; $target/app is the app"
