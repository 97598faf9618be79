/* The logs, as their folds tell them, and what each event does where it counts (projections/).
 *
 * Judging is pure: every reader comes to the same answer, so an append is judged once, when it lands, and its writer
 * learns the verdict in a later step.
 */

#define NOBODY AGENTS
#define ENTRIES 4
#ifdef TWO_TASKS
#define TASKS 2
#define TASK(e) ((e) % 2)
#else
#define TASKS 1
#define TASK(e) 0
#endif
#define QUEUE(e) ((e) % 2)
#define RUN(e) (1 + (e) / 2)
#define RUNS 2 /* a second run is not retried: the retries are used up */
#define HOP(e) ((e) + 1)
#define NEXT(e) (2 + (e) % 2)

/* Queues. With GHOSTS there is a second fold: that of the last agent, which began at the committed positions. */
#ifdef GHOSTS
#define FOLDS 2
#define VIEW(a) ((a) == AGENTS - 1)
#else
#define FOLDS 1
#define VIEW(a) 0
#endif
#define AT(v, e) queued[(v) * ENTRIES + (e)]

#define ABSENT 0
#define WAITING 1
#define CLAIMED 2
#define TAKEN 3
#define DEQUEUED 4
#define MOVED 5

typedef Entry {
  unsigned state : 3;
  unsigned worker : 2;
  bit claim;
  bit old /* the claim is older than the claim lease */
};
Entry queued[FOLDS * ENTRIES];
bit joined; /* the last agent has begun to read: there is a second fold */

#define IS_CLAIM(v, e, w, n) (AT(v, e).state == CLAIMED && AT(v, e).worker == (w) && AT(v, e).claim == (n))
#define IS_FREE(v, e) (AT(v, e).state == WAITING || (AT(v, e).state == CLAIMED && AT(v, e).old))
#define SETTLED(e) (AT(0, e).state == TAKEN || (AT(0, e).state >= DEQUEUED && IS_NOTED_OR_PASSED(e)))

inline become(v, it, what, by, n) {
  AT(v, it).state = what;
  AT(v, it).worker = by;
  AT(v, it).claim = n;
  AT(v, it).old = 0
}

inline enqueued(it) {
  if
  :: AT(0, it).state == ABSENT -> become(0, it, WAITING, 0, 0)
  :: else
  fi;
  if
  :: joined && AT(FOLDS - 1, it).state == ABSENT -> become(FOLDS - 1, it, WAITING, 0, 0)
  :: else
  fi
}

inline claimed(it, by, n) {
  if
  :: IS_FREE(0, it) -> become(0, it, CLAIMED, by, n)
  :: else
  fi;
  if
  :: joined && IS_FREE(FOLDS - 1, it) -> become(FOLDS - 1, it, CLAIMED, by, n)
  :: else
  fi
}

inline taken(it, by, n) {
  if
  :: IS_CLAIM(0, it, by, n) -> become(0, it, TAKEN, by, 0)
  :: else
  fi;
  if
  :: joined && IS_CLAIM(FOLDS - 1, it, by, n) -> become(FOLDS - 1, it, TAKEN, by, 0)
  :: else
  fi
}

/* `dequeued` and `moved` */
inline withdrawn(it, what) {
  if
  :: IS_FREE(0, it) -> become(0, it, what, 0, 0)
  :: else
  fi;
  if
  :: joined && IS_FREE(FOLDS - 1, it) -> become(FOLDS - 1, it, what, 0, 0)
  :: else
  fi
}

/* `tasktape.tasks`: the furthest run of each task, and which entries have left their queues. */
#define STARTED 1
#define COMPLETED 2
#define FAILED 3
#define LOST 4

typedef Task {
  unsigned furthest : 2;
  unsigned status : 3;
  unsigned worker : 2;
  unsigned entry : 2
};
Task task[TASKS];
typedef Marks {
  unsigned gone : 4;    /* EntryLeft counts, a bit for each entry */
  unsigned noted : 4;   /* EntryLeft is on the log, whether it counts or not */
  unsigned launched : 4 /* user code was started, a bit for each entry */
};
Marks marks;
#define HAS(mask, e) ((mask >> (e)) & 1)
#define WITH(mask, e) (mask | (1 << (e)))
#define IS_GONE(e) HAS(marks.gone, e)
#define IS_NOTED(e) HAS(marks.noted, e)
#ifdef TWO_TASKS
#define WAS_LAUNCHED(e) HAS(marks.launched, e)
#else /* entries 0 and 1 are of one run, 2 and 3 too */
#define WAS_LAUNCHED(e) (HAS(marks.launched, e) || HAS(marks.launched, (e) ^ 1))
#endif

#define UNDER_WAY(e) (task[TASK(e)].furthest == RUN(e) && task[TASK(e)].status == STARTED)
#define ENDED(e) (task[TASK(e)].furthest > RUN(e) || (task[TASK(e)].furthest == RUN(e) && task[TASK(e)].status >= COMPLETED))
#define IS_LOST(e) (task[TASK(e)].furthest == RUN(e) && task[TASK(e)].status == LOST)
#define IS_RETRIED(e) (task[TASK(e)].furthest == RUN(e) && task[TASK(e)].status >= FAILED && RUN(e) < RUNS)
#define START_COUNTS(e) (task[TASK(e)].furthest < RUN(e) && !HAS_LEFT(e))
#define LOSS_COUNTS(e, w) (!HAS_LEFT(e) && (task[TASK(e)].furthest < RUN(e) || (UNDER_WAY(e) && task[TASK(e)].worker == (w))))

inline run_is(it, what, by) {
  task[TASK(it)].furthest = RUN(it);
  task[TASK(it)].status = what;
  task[TASK(it)].worker = by;
  task[TASK(it)].entry = it
}

inline run_started(it, by) {
  if
  :: START_COUNTS(it) ->
    MUST(NOT_AGAIN, RUN(it) == 1 || task[TASK(it)].status >= FAILED);
    run_is(it, STARTED, by)
  :: else
  fi
}

inline run_lost(it, by) {
  if
  :: LOSS_COUNTS(it, by) ->
    MUST(NO_THEFT, AT(VIEW(by), it).state != TAKEN || AT(VIEW(by), it).worker == by);
    run_is(it, LOST, 0)
  :: else
  fi
}

inline run_ended(it, what) {
  if
  :: UNDER_WAY(it) -> run_is(it, what, 0)
  :: else
  fi
}

inline entry_left(it) {
  marks.noted = WITH(marks.noted, it);
  if
  :: task[TASK(it)].furthest < RUN(it) || (task[TASK(it)].furthest == RUN(it) && task[TASK(it)].entry != it) -> marks.gone = WITH(marks.gone, it)
  :: else
  fi
}
