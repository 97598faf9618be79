/* How runs are claimed, begun, moved and lost: what agents do with the logs, for Spin. README.md maps it to the code.
 *
 * AGENTS workers with one slot each. Entry 0 waits in queue 0; with TWIN entry 1 enqueues the same run in queue 1, with
 * TWO_TASKS another task's, with MOVES it is the next hop of entry 0. Entries 2 and 3 are those of the next runs.
 * Between any two steps anybody may be stalled for as long as it likes. What else may go wrong, at most so often:
 */
#ifndef AGENTS
#define AGENTS 3
#endif
#ifndef DEATHS
#define DEATHS (AGENTS - 1) /* agents killed; what they have sent may land all the same */
#endif
#ifndef STALLS
#define STALLS 1 /* claims that grow old although their agent lives and pursues them */
#endif
#ifndef LAPSES
#define LAPSES 1 /* agents that live and are not heard of for so long that they seem dead */
#endif
#ifndef COPIES
#define COPIES 0 /* events that land twice, the second time whenever they like */
#endif
#ifndef DOUBTS
#define DOUBTS 0 /* heartbeats reported as failed that may have landed, or land later */
#endif
#ifndef REPEATS
#define REPEATS 0 /* `enqueued` of an entry repeated by somebody who was stalled, with GHOSTS */
#endif

#include "properties.pml"
#include "rules.pml"
#include "folds.pml"

#include "agent.pml"

/* What nobody in particular does: time passes, what was sent lands, processes die, the user changes his mind. */

inline die(w) {
  agent[w].dead = 1;
  agent[w].known = 1;
  agent[w].lapsed = 0;
  agent[w].silent = 0;
  agent[w].acked = NOTHING;
  agent[w].flight_is_this = 0;
  agent[w].acked_is_this = 0;
  agent[w].fenced = 0;
  if
  :: agent[w].stage != TAKING -> drop(w)
  :: else
  fi
}

#define LOSS_LANDS(w, e) \
  :: atomic { \
      IS_LOSING(w, e) -> \
      agent[w].losing = agent[w].losing & (15 - (1 << e)); \
      run_lost(e, w); \
      if \
      :: !NEXT_IS_DUE(w, e) -> close_case(w, e) \
      :: else \
      fi; \
      may_leave_copy(LOSS, w, e) \
    }

#define HAPPENS_TO(w) \
  :: d_step { still.deaths > 0 && LIVES(w) && MAY_BE_NEXT(w) -> still.deaths--; die(w) } \
  :: d_step { \
      still.lapses > 0 && LIVES(w) && MAY_BE_NEXT(w) && !agent[w].lapsed -> \
      still.lapses--; \
      agent[w].known = 1; \
      agent[w].lapsed = 1; \
      agent[w].silent = 1; \
      agent[w].fenced = (agent[w].stage >= HOLDING) \
    } \
  :: d_step { agent[w].tombstone -> agent[w].tombstone = 0; agent[w].record = NONE } \
  LOSS_LANDS(w, 0) \
  LOSS_LANDS(w, 1) \
  LOSS_LANDS(w, 2) \
  LOSS_LANDS(w, 3)

#define GROWS_OLD(v, e) \
  :: d_step { \
      AT(v, e).state == CLAIMED && !AT(v, e).old && (v == 0 || AT(0, e).state != CLAIMED) && \
      (still.stalls > 0 || !PURSUES(AT(v, e).worker, e)) -> \
      still.stalls = still.stalls - PURSUES(AT(v, e).worker, e); \
      AT(v, e).old = 1; \
      AT(FOLDS - 1, e).old = (AT(FOLDS - 1, e).state == CLAIMED) \
    }

#define COPY_LANDS(i) \
  :: d_step { \
      copy[i].kind != 0 -> \
      if \
      :: copy[i].kind == CLAIM && COPIES_ARE_JUDGED -> claimed(copy[i].entry, copy[i].worker, copy[i].claim) \
      :: copy[i].kind == TAKE && COPIES_ARE_JUDGED -> taken(copy[i].entry, copy[i].worker, copy[i].claim) \
      :: copy[i].kind == UNJUDGED_TAKE -> taken(copy[i].entry, copy[i].worker, copy[i].claim) \
      :: copy[i].kind == START -> run_started(copy[i].entry, copy[i].worker) \
      :: copy[i].kind == LOSS -> run_lost(copy[i].entry, copy[i].worker) \
      :: else \
      fi; \
      copy[i].kind = 0; copy[i].worker = 0; copy[i].entry = 0; copy[i].claim = 0 \
    }

#define JOIN(e) \
  AT(FOLDS - 1, e).state = AT(0, e).state; \
  AT(FOLDS - 1, e).worker = AT(0, e).worker; \
  AT(FOLDS - 1, e).claim = AT(0, e).claim; \
  AT(FOLDS - 1, e).old = AT(0, e).old

#define PASS(e) AT(FOLDS - 1, e).state = ABSENT; AT(FOLDS - 1, e).worker = 0

#define REPEAT(e) \
  :: d_step { \
      still.repeats > 0 && joined && AT(0, e).state != ABSENT && AT(1, e).state == ABSENT -> \
      still.repeats--; \
      enqueued(e) \
    }

#ifdef WITHOUT_RULE_9
#define REBORN(w) \
  :: d_step { \
      agent[w].dead && agent[w].stage == FREE && agent[w].flight == NONE -> \
      agent[w].dead = 0; \
      heartbeat_lands(w, NOTHING) \
    }
#endif

#define IS_SERVED(e) ((LIVES(0) && SERVES(0, e)) || (LIVES(1) && SERVES(1, e)) || (LIVES(AGENTS - 1) && SERVES(AGENTS - 1, e)))
#define IS_OPEN(v, e) (AT(v, e).state == WAITING || AT(v, e).state == CLAIMED)
#define SEES(a, e) (LIVES(a) && SERVES(a, e) && IS_OPEN(VIEW(a), e))
#define IS_SEEN(e) (SEES(0, e) || SEES(1, e) || SEES(AGENTS - 1, e))
#define NEXT_IS_THERE(e) (AT(0, NEXT(e)).state != ABSENT || (TASK(0) == TASK(1) && AT(0, NEXT(e + 1)).state != ABSENT))

/* Nobody claims from a queue that nobody serves. */
#define CHECK_ENTRY(e) \
  MUST(NOT_STUCK, !IS_OPEN(0, e) || !IS_SERVED(e)); \
  MUST(NOT_STUCK, AT(0, e).state != TAKEN || (ENDED(e) && (!IS_RETRIED(e) || NEXT_IS_THERE(e)))); \
  MUST(NOT_STUCK, AT(0, e).state != DEQUEUED || IS_NOTED(e)); \
  MUST(NOT_STUCK, AT(0, e).state != MOVED || (IS_NOTED(e) && AT(0, HOP(e)).state != ABSENT))

/* The record of a dead worker that holds a claim stays until somebody who sees that entry claims it. */
#define CHECK_AGENT(w) \
  MUST(NOT_STUCK, agent[w].dead || agent[w].stage == FREE); \
  MUST(NO_RECORD, !agent[w].dead || agent[w].record == NONE || \
                  (NAMES_RUN(w) && IS_CLAIMED_BY(w, agent[w].record) && !IS_SEEN(agent[w].record)))

#define BEGIN(a) \
  agent[a].acked = NOTHING; \
  agent[a].record = NOTHING; \
  agent[a].flight = NONE; \
  NO_LATE(a) \
  agent[a].watcher = NOBODY; \
  run Agent(a)

init {
  atomic {
    still.deaths = DEATHS;
    still.stalls = STALLS;
    still.lapses = LAPSES;
    still.doubts = DOUBTS;
    still.repeats = REPEATS;
    still.user = 1;
    enqueued(0);
#if defined(TWIN) || defined(TWO_TASKS)
    enqueued(1);
#endif
    BEGIN(0);
    BEGIN(1);
#if AGENTS > 2
    BEGIN(2);
#endif
    skip
  }
end:
  do
  HAPPENS_TO(0)
  HAPPENS_TO(1)
#if AGENTS > 2
  HAPPENS_TO(2)
#endif
  GROWS_OLD(0, 0)
  GROWS_OLD(0, 1)
  GROWS_OLD(0, 2)
  GROWS_OLD(0, 3)
#if COPIES > 0
  COPY_LANDS(0)
#if COPIES > 1
  COPY_LANDS(1)
#endif
#endif
#ifdef WITHOUT_RULE_9
  REBORN(0)
  REBORN(1)
#endif
#ifdef GHOSTS
  GROWS_OLD(1, 0)
  GROWS_OLD(1, 1)
  GROWS_OLD(1, 2)
  GROWS_OLD(1, 3)
  :: atomic {
      !joined ->
      joined = 1;
      JOIN(0); JOIN(1); JOIN(2); JOIN(3);
      if
      :: SETTLED(0) ->
        PASS(0);
        if
        :: SETTLED(2) -> PASS(2)
        :: true
        fi
      :: true
      fi;
      if
      :: SETTLED(1) ->
        PASS(1);
        if
        :: SETTLED(3) -> PASS(3)
        :: true
        fi
      :: true
      fi
    }
  REPEAT(0)
  REPEAT(1)
  REPEAT(2)
  REPEAT(3)
#endif
#ifdef DEQUEUES
  :: d_step { still.user && IS_FREE(0, 0) -> still.user = 0; withdrawn(0, DEQUEUED) }
  :: d_step { still.user && IS_FREE(0, 2) -> still.user = 0; withdrawn(2, DEQUEUED) }
#endif
#ifdef MOVES
  :: d_step { still.user && IS_FREE(0, 0) -> still.user = 0; withdrawn(0, MOVED) }
#endif
#ifdef RERANKS
  :: d_step { still.user && IS_FREE(0, 0) -> still.user = 0; withdrawn(0, WAITING) }
#endif
  /* Nothing can happen any more: all is in its final state, and nothing is forgotten. */
  :: timeout ->
    d_step {
      CHECK_ENTRY(0); CHECK_ENTRY(1); CHECK_ENTRY(2); CHECK_ENTRY(3);
      CHECK_AGENT(0); CHECK_AGENT(1); CHECK_AGENT(AGENTS - 1)
    }
    break
  od
}
