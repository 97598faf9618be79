/* The rules at the seams between the logs, each as the condition it puts on a step. -DWITHOUT_RULE_n leaves it out. */

#define IS_TAKEN_BY(w, e) (AT(VIEW(w), e).state == TAKEN && AT(VIEW(w), e).worker == (w))
#define IS_CLAIMED_BY(w, e) (AT(VIEW(w), e).state == CLAIMED && AT(VIEW(w), e).worker == (w))

/* 1: an id is judged once, so copies change nothing. */
#ifdef WITHOUT_RULE_1
#define COPIES_ARE_JUDGED true
#else
#define COPIES_ARE_JUDGED false
#endif

/* 2: an append in doubt is retried until it is read back ... */
#ifdef WITHOUT_RULE_2
#define MAY_GIVE_UP true
#else
#define MAY_GIVE_UP false
#endif
/* ... the heartbeat names the run until it has a final event and the next one is enqueued ... */
#ifdef WITHOUT_RULE_2_NAMES
#define IS_NAMED(a) (agent[a].stage >= HOLDING && agent[a].stage < RUNNING)
#else
#define IS_NAMED(a) (agent[a].stage >= HOLDING)
#endif
/* ... and a tombstone, retried in the same way, removes nothing that its writer did not know of. */
#ifdef WITHOUT_RULE_2_TOMBSTONE
#define TOMBSTONE_IS_VOID false
#else
#define TOMBSTONE_IS_VOID true
#endif

/* 3: heartbeats never overtake each other ... */
#ifdef WITHOUT_RULE_3
#define LATE_ONES_COUNT true
#else
#define LATE_ONES_COUNT false
#endif
/* ... and name the claim: one sent for an earlier claim of the same entry does not stand for this one. */
#ifdef WITHOUT_RULE_3_CLAIM
#define IS_ACKNOWLEDGED(a) (agent[a].acked == agent[a].entry)
#else
#define IS_ACKNOWLEDGED(a) (agent[a].acked_is_this)
#endif

/* 4: a run is declared lost only when the queue's log says `taken` by that worker. */
#ifdef WITHOUT_RULE_4
#define IS_ITS_TO_LOSE(w, e) (IS_TAKEN_BY(w, e) || IS_CLAIMED_BY(w, e))
#else
#define IS_ITS_TO_LOSE(w, e) IS_TAKEN_BY(w, e)
#endif

/* 5: the loss is read back before the next run is enqueued ... */
#define NEXT_IS_DUE(w, e) (IS_RETRIED(e) && AT(VIEW(w), NEXT(e)).state == ABSENT)
#ifdef WITHOUT_RULE_5
#define MAY_ENQUEUE_NEXT(w, e) (NEXT_IS_DUE(w, e) || (IS_LOSING(w, e) && RUN(e) < RUNS && AT(VIEW(w), NEXT(e)).state == ABSENT))
#else
#define MAY_ENQUEUE_NEXT(w, e) NEXT_IS_DUE(w, e)
#endif
/* ... the dead worker's record goes only afterwards ... */
#ifdef WITHOUT_RULE_5_RECORD
#define NEXT_IS_SEEN_TO(w, e) true
#else
#define NEXT_IS_SEEN_TO(w, e) (!NEXT_IS_DUE(w, e))
#endif
/* ... and a worker whose run was lost before it began, and that names it no more, sees to the next one itself. */
#ifdef WITHOUT_RULE_5_OWN
#define SEES_TO_ITS_LOSS false
#else
#define SEES_TO_ITS_LOSS true
#endif

/* 6: starts and losses are void once the entry's leaving is noted with the task. */
#ifdef WITHOUT_RULE_6
#define HAS_LEFT(e) false
#else
#define HAS_LEFT(e) IS_GONE(e)
#endif

/* 7: the committed position passes a dequeued or moved entry only after that note. */
#ifdef WITHOUT_RULE_7
#define IS_NOTED_OR_PASSED(e) true
#else
#define IS_NOTED_OR_PASSED(e) IS_NOTED(e)
#endif

/* 8: those who watch the workers look after queues that have no members. */
#ifdef WITHOUT_RULE_8
#define LOOKS_AFTER(a, e) SERVES(a, e)
#else
#define LOOKS_AFTER(a, e) true
#endif

/* 9: the id of a worker is new for each process. */
#ifdef WITHOUT_RULE_9
#define IDS_COME_BACK true
#else
#define IDS_COME_BACK false
#endif

/* 10: silence is measured after reading to the end, never by the age of a message. */
#ifdef WITHOUT_RULE_10
#define SEEMS_DEAD(w) true
#else
#define SEEMS_DEAD(w) (agent[w].dead || agent[w].silent)
#endif

/* What no log can give: one more look at the lease immediately before user code. */
#ifdef WITHOUT_LEASE
#define LEASE_HOLDS(a) true
#else
#define LEASE_HOLDS(a) (!agent[a].lapsed && !agent[a].fenced)
#endif
