# "make help" says what there is.

# nginx's own headers and build scripts, as Debian's nginx-dev installs them.
NGINX_SRC ?= /usr/share/nginx/src
NGINX     ?= $(or $(shell PATH="$$PATH:/usr/sbin" command -v nginx),nginx)
BUILD     ?= build
PROVE     ?= prove
JOBS      ?= 2
TESTS     ?= t
DESTDIR   ?=
WARNINGS   = -Wall -Wextra -Werror -Wno-unused-parameter
# Debug information names files below the root: the same source gives the same
# bytes wherever it stands.
PREFIXES   = -fdebug-prefix-map=$(CURDIR)=. -fmacro-prefix-map=$(CURDIR)=. \
             -fdebug-prefix-map=$(abspath $(BUILD))=build \
             -fmacro-prefix-map=$(abspath $(BUILD))=build
NAME       = ngx_http_completion_async_module
MODULE     = $(BUILD)/$(NAME).so

# What is given on the command line is for us, not for nginx's makefile, whose
# CFLAGS it would replace; we find it in the environment.
MAKEOVERRIDES =

SHELL = /bin/bash
.DELETE_ON_ERROR:

all: $(MODULE)

SOURCES = config $(wildcard $(foreach below,src/* src/*/*,$(below)/*.[ch] $(below)/*.def))

# nginx's makefile is made anew when files come or go; it knows no more.
$(BUILD)/Makefile: config $(wildcard src/*/ src/*/*/) Makefile
	@mkdir -p $(BUILD)
	@test -f $(NGINX_SRC)/conf_flags || { \
	    echo "there is no $(NGINX_SRC)/conf_flags: run \"make deps\"" >&2; \
	    exit 1; }
	@echo "  configure  $(BUILD)"
	@. $(NGINX_SRC)/conf_flags && cd $(NGINX_SRC) && env -u CFLAGS ./configure \
	    "$${NGX_CONF_FLAGS[@]}" \
	    --with-cc='$(CC)' \
	    --with-cc-opt='-g -O2 -fPIC $(PREFIXES) $(WARNINGS) $(CFLAGS)' \
	    --with-ld-opt='$(LDFLAGS)' \
	    --add-dynamic-module=$(CURDIR) --builddir=$(abspath $(BUILD)) \
	    > $(abspath $(BUILD))/configure.log 2>&1 \
	    || { cat $(abspath $(BUILD))/configure.log; exit 1; }

$(MODULE): $(BUILD)/Makefile $(SOURCES)
	@echo "  make       $@"
	@cd $(NGINX_SRC) && $(MAKE) -s --no-print-directory \
	    -f $(abspath $(BUILD))/Makefile modules


# What is missing of Debian's packages; nothing else is installed.

BUILD_PACKAGES = gcc libc6-dev nginx nginx-dev libcurl4-openssl-dev \
                 libyajl-dev libssl-dev
RUN_PACKAGES   = perl libmojolicious-perl libcpanel-json-xs-perl curl
TEST_PACKAGES  = libio-socket-ssl-perl openssl ca-certificates gdb libfaketime \
                 libyaml-libyaml-perl gettext-base $(NODE_PACKAGES)
CHECK_PACKAGES = clang
DEB_PACKAGES   = build-essential dpkg-dev
DOCKER_PACKAGES = buildah runc debootstrap iproute2 perl util-linux \
                  libyaml-libyaml-perl
BENCH_PACKAGES = wrk libnginx-mod-http-lua lua-cjson libnginx-mod-http-js \
                 $(NODE_PACKAGES)
SOURCE_PACKAGES = dpkg-dev valgrind debootstrap

# another build of Node.js brings its own npm
NODE_PACKAGES  = $(if $(shell command -v npm),,nodejs npm)

# 130 MB, for the test of the page alone
PAGE_PACKAGES  = chromium chromium-driver

# of "make check" alone
ANALYSIS_PACKAGES = clang-tidy cppcheck libclang-rt-dev

deps: PACKAGES = $(BUILD_PACKAGES) $(RUN_PACKAGES) $(TEST_PACKAGES) \
                 $(CHECK_PACKAGES) $(PAGE_PACKAGES)
deps-demo: PACKAGES = $(BUILD_PACKAGES) $(RUN_PACKAGES)
deps-build: PACKAGES = $(BUILD_PACKAGES)
deps-check: PACKAGES = $(BUILD_PACKAGES) $(CHECK_PACKAGES) $(ANALYSIS_PACKAGES)
deps-deb: PACKAGES = $(BUILD_PACKAGES) $(DEB_PACKAGES)
deps-docker: PACKAGES = $(DOCKER_PACKAGES)
deps-bench: PACKAGES = $(BUILD_PACKAGES) $(RUN_PACKAGES) $(BENCH_PACKAGES)
deps-source: PACKAGES = $(BUILD_PACKAGES) $(RUN_PACKAGES) $(TEST_PACKAGES) \
                        $(SOURCE_PACKAGES)

deps: deps-packages build/promtool build/clients

deps-packages deps-demo deps-build deps-check deps-deb deps-docker \
deps-bench deps-source:
	@missing=; \
	for package in $(PACKAGES); do \
	    state=$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>&-); \
	    test "$$state" = installed || missing+=" $$package"; \
	done; \
	test -z "$$missing" && exit 0; \
	echo "  install   $$missing"; \
	root=; test $$(id -u) = 0 || root=sudo; \
	apt="$$root env DEBIAN_FRONTEND=noninteractive apt-get -qq"; \
	log=$$(mktemp); trap "rm -f $$log" EXIT; \
	{ $$apt update; \
	    $$apt -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
	        $$missing; } > $$log 2>&1 < /dev/null \
	    || { cat $$log; exit 1; }


# Metrics and alert rules are checked by promtool.  Debian 12 has it in a package
# that starts a server when it is installed: only this file is taken out.

build/promtool: | deps-packages
	@! command -v promtool > /dev/null || exit 0; \
	echo "  download   $@"; \
	mkdir -p $(@D); root=; test $$(id -u) = 0 || root=sudo; \
	dir=$$(mktemp -d); trap "rm -rf $$dir" EXIT; chmod 755 $$dir; \
	get() { cd $$dir && { apt-get -qq download promtool \
	    || apt-get -qq download prometheus; } > log 2>&1; }; \
	(get) || { $$root apt-get -qq update && (get); } \
	    || { cat $$dir/log; exit 1; }; \
	dpkg-deb --fsys-tarfile $$dir/prom*.deb \
	    | tar -xOf - ./usr/bin/promtool > $$dir/promtool \
	    && install $$dir/promtool $@


# Clients that users have, in the versions of their lock file.  The folder is
# touched when it is whole: npm may have made it long before.

build/clients: t/clients/package-lock.json | deps-packages
	@echo "  npm        $@"
	@rm -rf $@ && mkdir -p $@ && cp t/clients/package*.json $@/
	@cd $@ && npm ci --loglevel=error --no-audit --no-fund --ignore-scripts \
	    > /dev/null || { rm -rf $(abspath $@); exit 1; }
	@touch $@


# The main job, as README tells it, against the emulator or the real API.

demo: deps-demo
	@$(MAKE) --no-print-directory all
	@conf-examples/demo

run: deps-demo
	@$(MAKE) --no-print-directory all
	@conf-examples/demo --foreground


test: deps
	@$(MAKE) --no-print-directory all
	@TEST_NGINX_MODULE=$(abspath $(MODULE)) $(PROVE) -j $(JOBS) -r $(TESTS)


# Ratios to nginx itself and to others that do the same job, some ten minutes.

bench: deps-bench
	@$(MAKE) --no-print-directory all
	@bench/run


# Every check that takes longer than the tests, or other tools than they.

check: deps
	@$(MAKE) --no-print-directory lint compilers analyze sanitize memcheck
	@$(MAKE) --no-print-directory FUZZ_SECONDS=$${FUZZ_SECONDS:-60} fuzz

lint:
	@$(if $(LINT),$(PROVE) $(LINT),:)

LINT = $(wildcard t/layers.t t/circles.t t/style.t)

# Each alone too; what they find and is no fault is in t/analysis/suppressions.

ANALYZERS = cppcheck gcc-analyzer clang-analyzer clang-tidy

analyze: $(ANALYZERS)

$(ANALYZERS): deps-check $(BUILD)/Makefile
	@t/analysis/run $@

# Unattended: FUZZ_SECONDS a target, two at a time, a line for each.

fuzz: deps-check $(BUILD)/Makefile
	@t/fuzz/run $(TARGETS)

# What the unit tests do not reach, file by file.

coverage: deps-check $(BUILD)/Makefile
	@t/unit/coverage

compilers:
	@$(MAKE) --no-print-directory BUILD=build-gcc CC=gcc all
	@$(MAKE) --no-print-directory BUILD=build-clang CC=clang all

# nginx itself from Debian's source with the module linked in, each allocation
# of a pool one of its own.  What is spared is nginx's: it copies nothing from
# NULL, and stores words at any address.  The module does neither.

SANITIZERS ?= address,undefined
SANITIZE    = -O1 -fsanitize=$(SANITIZERS) -fno-sanitize-recover=all \
              -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 -Wno-error
SPARED      = nonnull-attribute,alignment

# The second is for libfaketime, which is loaded ahead of the runtime.
sanitize: export ASAN_OPTIONS = \
    detect_stack_use_after_return=1:verify_asan_link_order=0
sanitize: export LSAN_OPTIONS = \
    print_suppressions=0:suppressions=$(CURDIR)/t/matrix/leaks.supp
sanitize: export UBSAN_OPTIONS = print_stacktrace=1
sanitize: deps-source
	@t/matrix/nginx build-asan '$(SANITIZE) -fno-sanitize=$(SPARED)' \
	    '-fsanitize=$(SANITIZERS)' '-fsanitize=$(SPARED)'
	@TEST_NGINX_STATIC=1 TEST_NGINX_BINARY=$(CURDIR)/build-asan/nginx \
	    $(PROVE) -r $(TESTS)

# What does not need more than one process, and bears to be slow.
MEMCHECK = submit stream input representations keepalive variables watcher \
           deadline

memcheck: deps-source
	@t/matrix/nginx build-memcheck '-O1 -DNGX_DEBUG_PALLOC=1 -Wno-error'
	@TEST_NGINX_STATIC=1 TEST_NGINX_BINARY=$(CURDIR)/t/matrix/memcheck \
	    TEST_NGINX_MASTER=off $(PROVE) $(MEMCHECK:%=t/%.t)

# Versions of nginx and libcurl, event methods, processes: a line each.
matrix: deps-source
	@t/matrix/run $(LEG)


# Everything that may go wrong, at once and for as long as you like: "make chaos
# SECONDS=600 SEED=7".  What struck whom follows from the seed.

SEED ?= $(shell date +%s)

chaos: deps
	@$(MAKE) --no-print-directory all
	@TEST_NGINX_MODULE=$(abspath $(MODULE)) TEST_NGINX_CHAOS=$(or $(SECONDS),120) \
	    TEST_NGINX_CHAOS_SEED=$(SEED) $(PROVE) -v t/chaos.t


# The suite with the zone out of reach of whoever does not hold its lock, and
# each allocation failing instead of every seventh.

lockcheck: deps
	@$(MAKE) --no-print-directory all
	@module=$$(perl -It/lib -MCompletionAsync::Linked -e \
	    'print CompletionAsync::Linked->module("lock", "t/discipline/lock.c")') \
	    && TEST_NGINX_MODULE=$$module $(PROVE) -r $(TESTS)

allocations: deps
	@$(MAKE) --no-print-directory all
	@TEST_NGINX_EVERY=1 $(PROVE) t/allocation.t


# Debian's layout, or whatever the nginx of this machine says of itself.

MODULES   = $(or $(shell $(NGINX) -V 2>&1 \
            | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p'),/usr/lib/nginx/modules)
AVAILABLE = /usr/share/nginx/modules-available
SNIPPET   = $(AVAILABLE)/mod-http-completion-async.conf

install: all
	@install -d $(DESTDIR)$(MODULES)
	@install -m 644 $(MODULE) $(DESTDIR)$(MODULES)/
	@echo "  install    $(DESTDIR)$(MODULES)/$(NAME).so"
	@test ! -d /etc/nginx/modules-enabled || { install -d $(DESTDIR)$(AVAILABLE) \
	    && echo "load_module modules/$(NAME).so;" > $(DESTDIR)$(SNIPPET) \
	    && chmod 644 $(DESTDIR)$(SNIPPET) \
	    && echo "  install    $(DESTDIR)$(SNIPPET)"; }

uninstall:
	rm -f $(DESTDIR)$(MODULES)/$(NAME).so $(DESTDIR)$(SNIPPET)


# A version is what the newest release of the changelog says; before it, and
# between releases, what is built sorts below the next one.

VERSION ?= $(or $(shell sed -n 's/^\#\# \[\([0-9][^]]*\)\].*/\1/p' CHANGELOG.md \
           | head -n 1),0.1.0~dev)
deb sbom: export SOURCE_DATE_EPOCH ?= \
    $(or $(shell git log -1 --format=%ct 2>&-),$(shell stat -c %Y CHANGELOG.md))

DEB        = $(BUILD)/deb
DEB_NAME   = nginx-completion-async
DEB_SOURCE = $(wildcard config src t conf-examples docker Makefile *.md LICENSE)

deb: deps-deb
	@rm -rf $(DEB)
	@mkdir -p $(DEB)/source
	@cp -r $(DEB_SOURCE) $(DEB)/source/
	@tar -C $(DEB) --sort=name --owner=0 --group=0 --numeric-owner \
	    --mtime=@$(SOURCE_DATE_EPOCH) \
	    -cJf $(DEB)/$(DEB_NAME)_$(VERSION).orig.tar.xz source
	@cp -r docker/debian $(DEB)/source/debian
	@printf '%s (%s-1) %s; urgency=medium\n\n  * %s\n\n -- %s  %s\n' \
	    $(DEB_NAME) '$(VERSION)' unstable 'As upstream released it.' \
	    "$$(sed -n 's/^Maintainer: //p' docker/debian/control)" \
	    "$$(date -uRd @$(SOURCE_DATE_EPOCH))" > $(DEB)/source/debian/changelog
	@cd $(DEB)/source && dpkg-buildpackage -us -uc > ../build.log 2>&1 \
	    || { cat ../build.log; exit 1; }
	@rm -rf $(DEB)/source
	@ls $(DEB)/*.deb | sed 's/^/  package    /'


sbom: all
	@docker/sbom $(MODULE) '$(VERSION)' > $(MODULE:.so=.spdx.json)
	@echo "  sbom       $(MODULE:.so=.spdx.json)"


clean:
	rm -rf build build-*

help:
	@echo 'make             build $(MODULE)'
	@echo 'make deps        install what is missing: Debian packages, and clients'
	@echo '                 from npm for the tests, into build/clients'
	@echo 'make demo        the main job: submit, poll, print; against an'
	@echo '                 emulator, or with YC_FOLDER_ID and YC_API_KEY set'
	@echo '                 against the real API'
	@echo 'make run         nginx in the foreground with a page that translates,'
	@echo '                 for your browser and your own curl'
	@echo 'make test        every test'
	@echo 'make check       both compilers, static analysis, the tests under'
	@echo '                 sanitizers, some under valgrind, a minute of each fuzzer;'
	@echo '                 each alone: make lint, compilers, sanitize, memcheck'
	@echo 'make analyze     $(ANALYZERS)'
	@echo 'make fuzz        ten minutes of each fuzzer; FUZZ_SECONDS, TARGETS'
	@echo 'make coverage    lines that the unit tests reach'
	@echo 'make chaos       SECONDS=120 SEED=n: kills, reloads, upgrades, a full'
	@echo '                 disk, a clock that jumps, a bad upstream, all at once'
	@echo 'make lockcheck   every test with a zone that only its lock opens'
	@echo 'make allocations each allocation of the module fails once'
	@echo 'make bench       ratios to nginx itself and to others, bench/RESULTS.md'
	@echo 'make matrix      versions of nginx and libcurl, one after the other;'
	@echo '                 LEG=trixie for one of them'
	@echo 'make install     into the directory of nginx'"'"'s modules; DESTDIR'
	@echo 'make uninstall   out of it'
	@echo 'make deb         a Debian package, into $(DEB)'
	@echo 'make sbom        what the module is made of, as SPDX, beside it'
	@echo 'make clean       remove what was built'
	@echo
	@echo 'Variables: BUILD, CC, CFLAGS, LDFLAGS, NGINX_SRC, PROVE, JOBS, TESTS, DESTDIR'

.PHONY: all deps deps-packages deps-demo deps-build deps-check demo run test \
        check lint compilers analyze $(ANALYZERS) fuzz coverage sanitize \
        chaos lockcheck allocations install uninstall clean help deps-deb \
        deps-docker deb sbom deps-bench bench memcheck matrix deps-source
