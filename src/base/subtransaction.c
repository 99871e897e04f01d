/*-------------------------------------------------------------------------
 *
 * subtransaction.c
 *		A step that may fail without its transaction.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/subtransaction.h"

/* A reserve, for the error, where memory is short. */
static MemoryContext
make_reserve(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "rswebhook error", ALLOCSET_DEFAULT_SIZES);
}

bool
subtransaction_is_about_all(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
			return true;
		default:
			return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

bool
subtransaction_is_lack(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

ErrorData *
subtransaction_try(void (*step) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext reserve = make_reserve();
	ErrorData  *volatile error = NULL;
	bool		fatal = ExitOnAnyError;

	ExitOnAnyError = false;		/* whoever sets it would end the session, and hear all of it */
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(arg);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(reserve);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	ExitOnAnyError = fatal;
	if (error == NULL)
		MemoryContextDelete(reserve);
	return error;
}
