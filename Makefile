EXTENSION = rswebhook
MODULE_big = rswebhook
PGFILEDESC = "rswebhook - RudderStack-style webhooks sent by PostgreSQL itself"

# srcdir is PGXS's, which is included below: another directory than this one, perhaps
OBJS = $(patsubst $(srcdir)/%.c,%.o,$(wildcard $(srcdir)/src/*.c $(srcdir)/src/*/*.c))
DATA = $(patsubst $(srcdir)/%,%,$(wildcard $(srcdir)/sql/rswebhook--*.sql))

# What needs a background worker or a receiver is a TAP test, which scripts/check
# runs, so that installcheck runs on any server.
REGRESS = setup transform dynamic mapping wire destination send once filters altered trigger tables outbox operations backfill looking privileges senders security enrich import
REGRESS_OPTS = --inputdir=$(srcdir) --encoding=UTF8

# VERSION is PostgreSQL's
OUR_VERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(srcdir)/rswebhook.control)

PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -fvisibility=hidden
PG_CPPFLAGS = -I$(srcdir)/src -DRSWEBHOOK_VERSION='"$(OUR_VERSION)"' \
	$(shell pkg-config --cflags libcurl libcares libidn2 libssl libcrypto)
SHLIB_LINK = $(shell pkg-config --libs libcurl libcares libidn2 libssl libcrypto)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

ifeq ($(filter src/rswebhook.o,$(OBJS)),)
$(error no source files in "$(srcdir)")
endif
$(shell mkdir -p $(sort $(dir $(OBJS))))

# PGXS does not know which of our headers an object depends on.
$(OBJS): $(wildcard $(srcdir)/src/*.h $(srcdir)/src/*/*.h)
