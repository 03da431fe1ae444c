# "make help" says what there is.

# nginx's own headers and build scripts, as Debian's nginx-dev installs them.
NGINX_SRC ?= /usr/share/nginx/src
NGINX     ?= $(or $(shell PATH="$$PATH:/usr/sbin" command -v nginx),nginx)
BUILD     ?= build
PROVE     ?= prove
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

# nginx's makefile is made anew when files come or go; it knows no more.  What
# is configured with it are the scripts that run on a Redis server.
$(BUILD)/Makefile: config $(wildcard src/*/ src/*/*/ src/*/*.lua) Makefile
	@mkdir -p $(BUILD)
	@test -f $(NGINX_SRC)/conf_flags || { \
	    echo "there is no $(NGINX_SRC)/conf_flags: run \"make deps-build\"" >&2; \
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


# What is missing of Debian's packages: "deps" for the tests, and a list of
# docker/packaging/packages each.

deps:
	@t/run --install

deps-%:
	@docker/packaging/packages build $(filter-out build,$*)


# The main job, as README tells it, against the emulator or the real API; and
# every test.  Both install what is missing, and build.

demo:
	@conf-examples/demo

run:
	@conf-examples/demo --foreground

cluster:
	@conf-examples/demo --cluster

test:
	@t/run $(TESTS)


# Ratios to nginx itself and to others that do the same job, some ten minutes.

bench: deps-demo deps-bench
	@$(MAKE) --no-print-directory all
	@bench/run


# What a request of each kind costs, against bench/instructions.table.

instructions: deps-source
	@$(MAKE) --no-print-directory all
	@bench/instructions --check


# Every check that takes longer than the tests, or other tools than they.

check: deps
	@$(MAKE) --no-print-directory lint compilers analyze sanitize memcheck \
	    instructions
	@$(MAKE) --no-print-directory FUZZ_SECONDS=$${FUZZ_SECONDS:-60} fuzz

lint:
	@$(if $(LINT),$(PROVE) $(LINT),:)

LINT = $(wildcard t/house/*.t)

# Each alone too; what they find and is no fault is in t/analysis/suppressions.

ANALYZERS = cppcheck gcc-analyzer clang-analyzer clang-tidy

analyze: $(ANALYZERS)

$(ANALYZERS): deps-analysis $(BUILD)/Makefile
	@t/analysis/run $@

# Unattended: FUZZ_SECONDS a target, two at a time, a line for each.

fuzz: deps-analysis $(BUILD)/Makefile
	@t/fuzz/run $(TARGETS)

# What the unit tests do not reach, file by file.

coverage: deps-analysis $(BUILD)/Makefile
	@t/unit/coverage

compilers:
	@$(MAKE) --no-print-directory BUILD=build-gcc CC=gcc all
	@$(MAKE) --no-print-directory BUILD=build-clang CC=clang all

# nginx itself from Debian's source with the module linked in, each allocation
# of a pool one of its own.  What is spared is nginx's: it copies nothing from
# NULL, stores words at any address, and its ngx_murmur_hash2() shifts a byte
# into an int's sign.  The module does none of that.

SANITIZERS ?= address,undefined
SANITIZE    = -O1 -fsanitize=$(SANITIZERS) -fno-sanitize-recover=all \
              -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 -Wno-error
SPARED      = nonnull-attribute,alignment,shift

# The second is for libfaketime, which is loaded ahead of the runtime.
sanitize: export ASAN_OPTIONS = \
    detect_stack_use_after_return=1:verify_asan_link_order=0
sanitize: export LSAN_OPTIONS = \
    print_suppressions=0:suppressions=$(CURDIR)/t/matrix/leaks.supp
sanitize: export UBSAN_OPTIONS = print_stacktrace=1
sanitize: deps deps-source
	@t/matrix/nginx build-asan '$(SANITIZE) -fno-sanitize=$(SPARED)' \
	    '-fsanitize=$(SANITIZERS)' '-fsanitize=$(SPARED)'
	@TEST_NGINX_STATIC=1 TEST_NGINX_BINARY=$(CURDIR)/build-asan/nginx \
	    $(PROVE) -r $(TESTS)

# What does not need more than one process, and bears to be slow.
MEMCHECK = submit/submit submit/input poll/stream poll/watcher poll/deadline \
           http/representations http/variables upstream/keepalive

memcheck: deps deps-source
	@t/matrix/nginx build-memcheck '-O1 -DNGX_DEBUG_PALLOC=1 -Wno-error'
	@TEST_NGINX_STATIC=1 TEST_NGINX_BINARY=$(CURDIR)/t/matrix/memcheck \
	    TEST_NGINX_MASTER=off $(PROVE) $(MEMCHECK:%=t/%.t)

# Versions of nginx and libcurl, event methods, processes: a line each.
matrix: deps deps-source
	@t/matrix/run $(LEG)


# Everything that may go wrong, at once and for as long as you like: "make chaos
# SECONDS=600 SEED=7", and with NODES=3 to so many of them and their Redis.  What
# struck whom follows from the seed.

SEED ?= $(shell date +%s)

chaos: deps
	@$(MAKE) --no-print-directory all
	@TEST_NGINX_MODULE=$(abspath $(MODULE)) TEST_NGINX_CHAOS=$(or $(SECONDS),120) \
	    TEST_NGINX_CHAOS_SEED=$(SEED) TEST_NGINX_CHAOS_NODES=$(NODES) \
	    $(PROVE) -v $(if $(NODES),t/cluster,t/life)/chaos.t


# The suite with the zone out of reach of whoever does not hold its lock, and
# each allocation failing instead of every seventh.

lockcheck: deps
	@$(MAKE) --no-print-directory all
	@module=$$(perl -It/lib -MCompletionAsync::Linked -e \
	    'print CompletionAsync::Linked->module("lock", "t/discipline/lock.c")') \
	    && TEST_NGINX_MODULE=$$module $(PROVE) -r $(TESTS)

allocations: deps
	@$(MAKE) --no-print-directory all
	@TEST_NGINX_EVERY=1 $(PROVE) t/discipline/allocation.t


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

# what would load it, and leave nginx without a start, goes first
uninstall:
	@grep -Ehs '^[^#]*load_module[^;]*/?$(NAME)\.so' \
	    $(DESTDIR)/etc/nginx/nginx.conf \
	    && { echo "  $(DESTDIR)/etc/nginx/nginx.conf has this line:" \
	        "take it away first" >&2; exit 1; } || true
	@grep -ls '$(NAME)\.so' $(DESTDIR)/etc/nginx/modules-enabled/* \
	    | while read -r file; do \
	        rm -f "$$file"; echo "  uninstall  $$file"; done
	@rm -f $(DESTDIR)$(MODULES)/$(NAME).so $(DESTDIR)$(SNIPPET)
	@echo "  uninstall  $(DESTDIR)$(MODULES)/$(NAME).so"
	@grep -Ersl '^[^#]*\<completion_async' $(DESTDIR)/etc/nginx | while read -r file; do \
	    echo "  $$file still uses it: nginx does not start with that"; done


# Packages; their version is that of the changelog's newest release.

deb:
	@BUILD=$(BUILD) docker/packaging/deb

sbom: all
	@docker/packaging/sbom $(MODULE) > $(MODULE:.so=.spdx.json)
	@echo "  sbom       $(MODULE:.so=.spdx.json)"


clean:
	rm -rf build build-*

help:
	@echo 'make             build $(MODULE)'
	@echo 'make demo        the main job, against an emulator, or with YC_FOLDER_ID and'
	@echo '                 YC_API_KEY set against the real API'
	@echo 'make run         nginx stays, with a page for your browser and your own curl'
	@echo 'make cluster     two of it, Redis between them, and what they count'
	@echo 'make test        every test; TESTS, JOBS'
	@echo 'make install     into the directory of nginx'"'"'s modules; DESTDIR; make uninstall'
	@echo 'make deb, sbom   a Debian package; what the module is linked with, as SPDX'
	@echo 'make deps        install what the tests need; make deps-build, to build alone'
	@echo 'make clean       remove what was built'
	@echo
	@echo 'For who changes it, see t/README.md:'
	@echo 'make check       compilers, analyzers, sanitizers, valgrind, fuzzers; alone:'
	@echo '                 lint, compilers, analyze, sanitize, memcheck, instructions,'
	@echo '                 fuzz'
	@echo 'make coverage    lines that the unit tests reach'
	@echo 'make chaos       everything that may go wrong at once; SECONDS, SEED, NODES'
	@echo 'make lockcheck, allocations   the lock of the zone; memory that is missing'
	@echo 'make matrix      versions of nginx and libcurl; LEG=trixie for one'
	@echo 'make bench       ratios to nginx itself and to others, bench/RESULTS.md'
	@echo
	@echo 'Variables: BUILD, CC, CFLAGS, LDFLAGS, NGINX_SRC, PROVE'

.PHONY: all deps demo run cluster test bench instructions check lint analyze \
        $(ANALYZERS) fuzz coverage compilers sanitize memcheck matrix chaos lockcheck \
        allocations install uninstall deb sbom clean help
