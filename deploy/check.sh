#!/bin/sh
# Checks the deployment files without a cluster: systemd's own verifier, and the Kubernetes schemas
# (`pip install kubernetes-validate`). What is not installed is skipped, and said.
set -eu
cd "$(dirname "$0")"

if command -v systemd-analyze >/dev/null; then
    units=$(mktemp -d)
    trap 'rm -r "$units"' EXIT
    cp systemd/*.socket "$units"
    # The verifier wants the program to be there.
    sed 's,/usr/local/bin/adieu,/bin/true,' systemd/adieu.service >"$units/adieu.service"
    problems=$(systemd-analyze verify --man=no "$units"/adieu* 2>&1 | grep "adieu" || true)
    if [ -n "$problems" ]; then
        echo "$problems" >&2
        exit 1
    fi
    echo "systemd: the units are well"
else
    echo "systemd: skipped, systemd-analyze is not installed"
fi

if command -v kubernetes-validate >/dev/null; then
    for version in 1.30 1.34; do
        kubernetes-validate --strict -k "$version" kubernetes/*.yaml
    done
else
    echo "kubernetes: skipped, kubernetes-validate is not installed"
fi
