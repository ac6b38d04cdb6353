# shellcheck shell=sh
# Trust a site's own certificate authorities while one step runs. Each step that goes to the
# network sources this file; the authorities come from the build secret "ca" and stay out of
# the image.
if [ -s /run/secrets/ca ]; then
  export SSL_CERT_FILE=/run/secrets/ca CURL_CA_BUNDLE=/run/secrets/ca
  export GIT_SSL_CAINFO=/run/secrets/ca PIP_CERT=/run/secrets/ca
  export REQUESTS_CA_BUNDLE=/run/secrets/ca NODE_EXTRA_CA_CERTS=/run/secrets/ca
fi
