/* What must hold. The number is in Spin's message. */
#define MUST(property, condition) assert((condition) || property == 0)
#define NOT_STUCK 1     /* in the end every entry and every run is in a final state, and nothing owed is undone */
#define NO_RECORD 2     /* in the end nothing is left of dead workers */
#define LOG_SAYS_SO 3   /* user code starts only where the start counts and the run is not lost */
#define ONE_WORKER 4    /* user code of a run starts once */
#define NOT_WITHDRAWN 5 /* what was dequeued does not start, nor a next run of it */
#define NOT_AGAIN 6     /* a next run starts only after one that failed or was lost */
#define NO_THEFT 7      /* nobody's death makes a run lost that somebody else has taken */
