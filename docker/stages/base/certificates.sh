# shellcheck shell=sh
# Sourced before anything goes to the network: a site's own certificate authorities, from
# the build secret "ca", are trusted while one step runs and stay out of the image.
if [ -s /run/secrets/ca ]; then
  export SSL_CERT_FILE=/run/secrets/ca CURL_CA_BUNDLE=/run/secrets/ca
  export GIT_SSL_CAINFO=/run/secrets/ca PIP_CERT=/run/secrets/ca
  export REQUESTS_CA_BUNDLE=/run/secrets/ca NODE_EXTRA_CA_CERTS=/run/secrets/ca
fi
