#!/bin/sh
# Fetch one commit of a git repository: source.sh URL COMMIT FOLDER.
# A commit is the digest of all that it holds, so that git verifies it.
set -eu
. /stages/certificates.sh
git init --quiet "$3"
cd "$3"
if ! git fetch --quiet --depth "${4:-1}" "$1" "$2"; then
  echo "error: $1 does not give commit $2" >&2
  echo "hint: behind a proxy pass HTTPS_PROXY and the secret ca; without internet pass the" \
    "source as a build context (docs/appliance.md)" >&2
  exit 2
fi
# Bytes as the commit has them, whatever its .gitattributes ask for: so they have its digest.
echo '* -text -crlf -ident -filter -working-tree-encoding' > .git/info/attributes
git checkout --quiet FETCH_HEAD
