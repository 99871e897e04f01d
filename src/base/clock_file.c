/*-------------------------------------------------------------------------
 *
 * clock_file.c
 *		The eras of the wall's clock, in a file that outlasts shared memory.
 *
 * It is written when the clock is found to have been set, when shared memory is
 * set up and when the server ends in peace, whole each time and under another
 * name first.  The id of the machine's boot is in it, since the steady clock
 * begins anew with each.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include "base/clock_file.h"

/* A directory that backups leave out: another machine has another clock. */
#define FILE_NAME		"pg_stat_tmp/rswebhook_clock"
#define FILE_NEW		FILE_NAME ".new"
#define FILE_VERSION	1

#define BOOT_ID_FILE	"/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LEN		36

typedef struct Contents
{
	uint32		version;
	char		boot[BOOT_ID_LEN];	/* all zero: unknown */
	Eras		known;
	pg_crc32c	crc;			/* of all before it */
} Contents;

static void
read_boot_id(char *boot)
{
	int			fd = BasicOpenFile(BOOT_ID_FILE, O_RDONLY | PG_BINARY);

	if (fd >= 0 && read(fd, boot, BOOT_ID_LEN) != BOOT_ID_LEN)
		memset(boot, 0, BOOT_ID_LEN);
	if (fd >= 0)
		close(fd);
}

static pg_crc32c
checksum(const Contents *file)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, file, offsetof(Contents, crc));
	FIN_CRC32C(crc);
	return crc;
}

ClockFile
clock_file_read(Eras *known, Instant now)
{
	Contents	file;
	char		boot[BOOT_ID_LEN] = {0};
	int			fd = BasicOpenFile(FILE_NAME, O_RDONLY | PG_BINARY);
	bool		whole;

	if (fd < 0)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", FILE_NAME)));
		return CLOCK_FILE_NONE;
	}
	whole = read(fd, &file, sizeof(file)) == sizeof(file);
	close(fd);
	if (!whole || file.version != FILE_VERSION || !EQ_CRC32C(file.crc, checksum(&file)) ||
		file.known.count < 1 || file.known.count > MAX_ERAS)
	{
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("ignoring invalid data in file \"%s\"", FILE_NAME),
				 errdetail("How the system's clock was set before now is not known to rswebhook.")));
		return CLOCK_FILE_NONE;
	}

	*known = file.known;
	read_boot_id(boot);
	return boot[0] != 0 && memcmp(boot, file.boot, BOOT_ID_LEN) == 0 && known->looked_at <= now ?
		CLOCK_FILE_THIS_BOOT : CLOCK_FILE_OTHER_BOOT;
}

static bool
write_new(const Contents *file)
{
	int			fd = BasicOpenFile(FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	bool		written;

	if (fd < 0)
		return false;
	errno = ENOSPC;				/* what a short write means */
	written = write(fd, file, sizeof(*file)) == sizeof(*file);
	return close(fd) == 0 && written;
}

void
clock_file_write(const Eras *known)
{
	Contents	file;

	memset(&file, 0, sizeof(file));
	file.version = FILE_VERSION;
	read_boot_id(file.boot);
	file.known = *known;
	file.crc = checksum(&file);
	if (!write_new(&file))
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", FILE_NEW),
				 errdetail("After a restart, rswebhook may not know how the system's clock was set before it.")));
	else
		(void) durable_rename(FILE_NEW, FILE_NAME, LOG);
}
