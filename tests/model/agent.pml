/* One agent: its pursuit of an entry, its heartbeats, and what it does for others. */

#define NOTHING 4 /* what a heartbeat names that names no run */
#define NONE 5    /* no heartbeat, no record */

/* How far an agent's pursuit of an entry is. */
#define FREE 0
#define CLAIMING 1 /* the claim is on the log, not read back */
#define HOLDING 2  /* read back as valid; waits for the acknowledgement of a heartbeat that names it */
#define TAKING 3   /* `taken` is on its way */
#define TOOK 4     /* `taken` is on the log, not read back */
#define STARTING 5 /* `RunStarted` is on the log, not read back */
#define BEGUN 6    /* the start counts; user code has not begun */
#define RUNNING 7  /* user code runs */
#define OVER 8     /* the run has a final event; the next one may be due */

typedef Mind {
  bit dead;
  bit known;            /* something happened to it: agents are alike, so first things happen to them in order */
  unsigned stage : 4;
  unsigned entry : 2;
#if COPIES > 0
  bit claim;            /* tells its last two claims apart */
#endif
  bit counts;           /* the verdict on what is to be read back */
  bit fenced;           /* the lease ran out while it held the run */
  bit lapsed;           /* the lease has run out */
  unsigned flight : 3;  /* what the heartbeat on its way names */
  bit flight_is_this;   /* it was sent for the present claim */
  unsigned acked : 3;   /* what the last acknowledged heartbeat names */
  bit acked_is_this;
#if DOUBTS > 0
  unsigned late : 3;    /* a heartbeat reported as failed that may land yet */
#endif
  /* What others know and do about it: */
  unsigned record : 3;  /* what the last heartbeat on the log names; NONE once a tombstone has landed */
  bit silent;           /* nothing was heard of it for three intervals */
  bit tombstone;        /* decided, on its way */
  unsigned losing : 4;  /* entries whose RunLost is on its way, a bit for each */
  unsigned watcher : 2; /* who declared a run of it lost, and sees to the next one even if it wakes up */
  unsigned lost : 2     /* the entry of that run */
};
Mind agent[AGENTS];
typedef Still { /* what may go wrong still */
  unsigned deaths : 2;
  unsigned stalls : 2;
  unsigned lapses : 2;
  unsigned doubts : 2;
  unsigned repeats : 2;
  bit user
};
Still still;
hidden byte next;

#ifdef GHOSTS
#define LIVES(a) (!agent[a].dead && ((a) < AGENTS - 1 || joined))
#define IS_ALIKE(a) ((a) < AGENTS - 1)
#else
#define LIVES(a) (!agent[a].dead)
#ifdef UNSERVED
#define IS_ALIKE(a) ((a) < AGENTS - 1)
#else
#define IS_ALIKE(a) true
#endif
#endif
#ifdef UNSERVED
#define SERVES(a, e) (QUEUE(e) == 1 || (a) < AGENTS - 1) /* the last agent serves queue 1 only */
#else
#define SERVES(a, e) true
#endif
#define MAY_BE_NEXT(a) ((a) == 0 || !IS_ALIKE(a) || agent[(a) - 1].known)

#ifdef PATIENT /* to look for what goes on for ever: heartbeats do not stay on their way for ever */
#define MAY_CLAIM(a) (!agent[a].lapsed)
#else
#define MAY_CLAIM(a) true
#endif

#define HOLDS_CLAIM(a) IS_CLAIM(VIEW(a), agent[a].entry, a, CLAIM_OF(a))
#define NAMED(a) (IS_NAMED(a) -> agent[a].entry : NOTHING)
#define PURSUES(a, e) (!agent[a].dead && agent[a].stage >= CLAIMING && agent[a].stage <= TAKING && agent[a].entry == (e))

/* Copies: each is of an event that was judged before, except for one that was given up. */
#define CLAIM 1
#define TAKE 2
#define START 3
#define LOSS 4
#define UNJUDGED_TAKE 5

#if COPIES > 0
typedef Copy {
  bit spent;
  unsigned kind : 3;
  unsigned worker : 2;
  unsigned entry : 2;
  bit claim
};
Copy copy[COPIES];
#define CLAIM_OF(a) agent[a].claim
#define COUNT_CLAIM(a) agent[a].claim = 1 - agent[a].claim;

inline leave_copy(i, what, by, it) {
  copy[i].spent = 1;
  copy[i].kind = what;
  copy[i].worker = by;
  copy[i].entry = it;
  copy[i].claim = CLAIM_OF(by)
}

inline may_leave_copy(what, by, it) {
  if
  :: true
  :: !copy[0].spent -> leave_copy(0, what, by, it)
#if COPIES > 1
  :: copy[0].spent && !copy[1].spent -> leave_copy(1, what, by, it)
#endif
  fi
}
#else
#define CLAIM_OF(a) 0 /* nothing of an earlier claim is on its way: the worker's name tells its claims apart */
#define COUNT_CLAIM(a)
#define may_leave_copy(what, w, e) skip
#endif

inline drop(a) {
  agent[a].stage = FREE;
  agent[a].entry = 0;
  agent[a].counts = 0;
  agent[a].fenced = 0;
  agent[a].flight_is_this = 0;
  agent[a].acked_is_this = 0
}

inline close_case(w, it) {
  if
  :: agent[w].watcher != NOBODY && agent[w].lost == it -> agent[w].watcher = NOBODY; agent[w].lost = 0
  :: else
  fi
}

/* Whatever was declared lost is seen to. */
inline enqueue_next(it) {
  enqueued(NEXT(it));
  close_case(0, it);
  close_case(1, it);
  close_case(AGENTS - 1, it)
}

/* A claim of an entry that is not free changes nothing and is left out. */
#define CHOOSE(e) \
  :: atomic { \
      LIVES(me) && agent[me].stage == FREE && MAY_BE_NEXT(me) && MAY_CLAIM(me) && SERVES(me, e) && IS_FREE(VIEW(me), e) -> \
      agent[me].known = 1; \
      agent[me].entry = e; \
      COUNT_CLAIM(me) \
      agent[me].stage = CLAIMING; \
      claimed(e, me, CLAIM_OF(me)); \
      may_leave_copy(CLAIM, me, e) \
    }

#if DOUBTS > 0
#define NO_LATE(a) agent[a].late = NONE;
#define FORGET_LATE(a) agent[a].late = (LATE_ONES_COUNT -> agent[a].late : NONE);
#else
#define NO_LATE(a)
#define FORGET_LATE(a)
#endif

inline heartbeat_lands(w, names) {
  agent[w].record = names;
  agent[w].silent = 0;
  agent[w].tombstone = (TOMBSTONE_IS_VOID -> 0 : agent[w].tombstone)
}

#define IS_LOSING(w, e) ((agent[w].losing >> (e)) & 1)
#define SUSPECTS(w) (LIVES(me) && w != me && SEEMS_DEAD(w) && agent[w].record != NONE)
#define NAMES_RUN(w) (agent[w].record < NOTHING)
#define HAS_CASE(w) (agent[w].watcher != NOBODY && LIVES(agent[w].watcher) && \
                     (IS_LOSING(w, agent[w].lost) || NEXT_IS_DUE(w, agent[w].lost)))
#define IS_CLOSED(w, e) (IS_TAKEN_BY(w, e) -> (ENDED(e) -> NEXT_IS_SEEN_TO(w, e) : !LOSS_COUNTS(e, w)) : !IS_CLAIMED_BY(w, e))

/* A loss that would not count when it is decided would not count later either, and is left out. */
#define WATCH(w) \
  :: d_step { \
      SUSPECTS(w) && NAMES_RUN(w) && !HAS_CASE(w) && !IS_LOSING(w, agent[w].record) && \
      IS_ITS_TO_LOSE(w, agent[w].record) && LOSS_COUNTS(agent[w].record, w) -> \
      agent[w].losing = agent[w].losing | (1 << agent[w].record); \
      agent[w].watcher = me; \
      agent[w].lost = agent[w].record \
    } \
  :: d_step { \
      SUSPECTS(w) && NAMES_RUN(w) && IS_TAKEN_BY(w, agent[w].record) && NEXT_IS_DUE(w, agent[w].record) -> \
      enqueue_next(agent[w].record) \
    } \
  :: d_step { \
      LIVES(me) && agent[w].watcher == me && MAY_ENQUEUE_NEXT(w, agent[w].lost) -> \
      next = agent[w].lost; \
      enqueue_next(next) \
    } \
  :: d_step { \
      SUSPECTS(w) && !agent[w].tombstone && (agent[w].record == NOTHING || IS_CLOSED(w, agent[w].record)) -> \
      agent[w].tombstone = 1 \
    }

#define LOOK_AFTER(e) \
  :: d_step { \
      LIVES(me) && LOOKS_AFTER(me, e) && !IS_NOTED(e) && AT(VIEW(me), e).state == MOVED && AT(VIEW(me), HOP(e)).state == ABSENT -> \
      enqueued(HOP(e)) \
    } \
  :: d_step { \
      LIVES(me) && LOOKS_AFTER(me, e) && !IS_NOTED(e) && \
      (AT(VIEW(me), e).state == DEQUEUED || (AT(VIEW(me), e).state == MOVED && AT(VIEW(me), HOP(e)).state != ABSENT)) -> \
      entry_left(e) \
    }

proctype Agent(byte me) {
end:
  do
  /* Its own pursuit. */
  CHOOSE(0)
  CHOOSE(1)
  CHOOSE(2)
  CHOOSE(3)
  :: d_step { LIVES(me) && agent[me].stage == CLAIMING -> agent[me].stage = HOLDING; agent[me].fenced = agent[me].lapsed }
  :: d_step { LIVES(me) && (agent[me].stage == CLAIMING || agent[me].stage == HOLDING) && !HOLDS_CLAIM(me) -> drop(me) }
  :: d_step { LIVES(me) && agent[me].stage == HOLDING && agent[me].fenced -> drop(me) }
  :: d_step {
      LIVES(me) && agent[me].stage == HOLDING && !agent[me].fenced && HOLDS_CLAIM(me) && IS_ACKNOWLEDGED(me) ->
      agent[me].stage = TAKING
    }
  :: atomic {
      agent[me].stage == TAKING ->
      agent[me].counts = HOLDS_CLAIM(me);
      taken(agent[me].entry, me, CLAIM_OF(me));
      may_leave_copy(TAKE, me, agent[me].entry);
      if
      :: agent[me].dead -> drop(me)
      :: else -> agent[me].stage = TOOK
      fi
    }
  :: d_step { agent[me].stage == TAKING && agent[me].dead -> drop(me) } /* it never lands */
#ifdef WITHOUT_RULE_2
  :: d_step {
      agent[me].stage == TAKING && LIVES(me) && !copy[0].spent ->
      leave_copy(0, UNJUDGED_TAKE, me, agent[me].entry);
      drop(me)
    }
#endif
  :: d_step { LIVES(me) && agent[me].stage == TOOK && !agent[me].counts -> drop(me) }
  :: atomic {
      LIVES(me) && agent[me].stage == TOOK && agent[me].counts ->
      agent[me].counts = START_COUNTS(agent[me].entry);
      run_started(agent[me].entry, me);
      may_leave_copy(START, me, agent[me].entry);
      agent[me].stage = STARTING
    }
  :: d_step { LIVES(me) && agent[me].stage == STARTING && agent[me].counts -> agent[me].counts = 0; agent[me].stage = BEGUN }
  :: d_step {
      LIVES(me) && agent[me].stage == STARTING && !agent[me].counts ->
      if
      :: IS_LOST(agent[me].entry) && SEES_TO_ITS_LOSS -> agent[me].stage = OVER
      :: else -> drop(me)
      fi
    }
  :: d_step {
      LIVES(me) && agent[me].stage == BEGUN && LEASE_HOLDS(me) ->
      MUST(LOG_SAYS_SO, UNDER_WAY(agent[me].entry) && task[TASK(agent[me].entry)].worker == me);
      MUST(ONE_WORKER, !WAS_LAUNCHED(agent[me].entry));
      MUST(NOT_WITHDRAWN, AT(0, agent[me].entry).state != DEQUEUED && AT(0, QUEUE(agent[me].entry)).state != DEQUEUED);
      marks.launched = WITH(marks.launched, agent[me].entry);
      agent[me].stage = RUNNING
    }
  :: d_step { LIVES(me) && agent[me].stage == RUNNING -> run_ended(agent[me].entry, COMPLETED); agent[me].stage = OVER }
  :: d_step {
      LIVES(me) && (agent[me].stage == BEGUN || agent[me].stage == RUNNING) && agent[me].fenced ->
      run_ended(agent[me].entry, FAILED);
      agent[me].stage = OVER
    }
  :: d_step { LIVES(me) && (agent[me].stage == BEGUN || agent[me].stage == RUNNING) && ENDED(agent[me].entry) -> agent[me].stage = OVER }
  :: d_step {
      LIVES(me) && agent[me].stage == OVER ->
      if
      :: IS_RETRIED(agent[me].entry) -> enqueue_next(agent[me].entry)
      :: else
      fi;
      drop(me)
    }

  /* Its heartbeats. */
  :: d_step {
      LIVES(me) && agent[me].flight == NONE &&
      (IS_NAMED(me) && !agent[me].acked_is_this || !IS_NAMED(me) && agent[me].acked != NOTHING || agent[me].lapsed || agent[me].record == NONE) ->
      agent[me].flight = NAMED(me);
      agent[me].flight_is_this = IS_NAMED(me)
    }
  /* it lands and is acknowledged */
  :: d_step {
      agent[me].flight != NONE ->
      heartbeat_lands(me, agent[me].flight);
      FORGET_LATE(me)
      agent[me].acked = (agent[me].dead -> NOTHING : agent[me].flight);
      agent[me].acked_is_this = agent[me].flight_is_this;
      agent[me].lapsed = 0;
      agent[me].flight = NONE;
      agent[me].flight_is_this = 0
    }
  :: d_step { agent[me].flight != NONE && agent[me].dead -> agent[me].flight = NONE } /* it never lands */
#if DOUBTS > 0
  /* it lands and is reported as failed */
  :: d_step {
      LIVES(me) && agent[me].flight != NONE && still.doubts > 0 ->
      still.doubts--;
      heartbeat_lands(me, agent[me].flight);
      FORGET_LATE(me)
      agent[me].flight = NONE;
      agent[me].flight_is_this = 0
    }
  /* it is reported as failed and may land later */
  :: d_step {
      LIVES(me) && agent[me].flight != NONE && agent[me].late == NONE && still.doubts > 0 ->
      still.doubts--;
      agent[me].late = agent[me].flight;
      agent[me].flight = NONE;
      agent[me].flight_is_this = 0
    }
  :: d_step { agent[me].late != NONE -> heartbeat_lands(me, agent[me].late); agent[me].late = NONE }
#endif

  /* Its duties to others. */
  WATCH(0)
  WATCH(1)
#if AGENTS > 2
  WATCH(2)
#endif
  LOOK_AFTER(0)
  LOOK_AFTER(2)
  od
}
