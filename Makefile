# nginx's own headers and build scripts, as Debian's nginx-dev installs them.
NGINX_SRC ?= /usr/share/nginx/src
BUILD     ?= build
WARNINGS   = -Wall -Wextra -Werror -Wno-unused-parameter
MODULE     = $(BUILD)/ngx_http_completion_async_module.so

all: $(MODULE)

SOURCES = config $(wildcard src/*/*.[ch])

# nginx's makefile is made anew when files come or go; it knows no more.
$(BUILD)/Makefile: config $(wildcard src/*) Makefile
	@mkdir -p $(BUILD)
	. $(NGINX_SRC)/conf_flags && cd $(NGINX_SRC) && ./configure \
	    "$${NGX_CONF_FLAGS[@]}" \
	    --with-cc='$(CC)' --with-cc-opt='-g -O2 -fPIC $(WARNINGS) $(CFLAGS)' \
	    --with-ld-opt='$(LDFLAGS)' \
	    --add-dynamic-module=$(CURDIR) --builddir=$(abspath $(BUILD)) \
	    > $(abspath $(BUILD))/configure.log \
	    || { cat $(abspath $(BUILD))/configure.log; exit 1; }

$(MODULE): $(BUILD)/Makefile $(SOURCES)
	cd $(NGINX_SRC) && $(MAKE) -f $(abspath $(BUILD))/Makefile modules

SHELL = /bin/bash
.PHONY: all
