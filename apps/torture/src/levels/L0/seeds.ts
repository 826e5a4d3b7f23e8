/**
 * Seeds that CI plays always, beside those of its twenty seconds: in each of these
 * histories a deliberate fault of the product, or a real one, was seen first. A
 * change of how a seed becomes a plan makes other histories of them; then look for
 * such seeds anew (`npm run torture -- --mutants`). Those of `narrow` are played as
 * plans were before posts, long answers and further sessions were in them, and those
 * of `wide` as they were before messages were handed to running turns, those of
 * `steered` by agents that say at once what they took.
 */
export const narrow: ReadonlyArray<readonly [seed: number, about: string]> = [
  [507, "a conversation whose orphan is gone already has one owner"],
  [7673, "a command is tried again when the store has failed once"],
  [1_733_265_355, "a command that a full disk refused is run by the next start"],
  [72, "a jump of the clock by a day and a crash make no dead letter of the first request that fails"],
  [167_852_552, "a person who answers late is in the ledger"],
  [1269, "a reply whose request ended in a defect is unknown where nobody may send it again"],
  [900_197, "a crash between two tries of a turn that fails counts for nobody"],
  [77_000_001, "repeats are not counted twice"],
  [77_000_002, "nothing is acknowledged before its commit"],
  [77_000_003, "a reply keeps its key over its tries, and its request is noted before it is sent"],
  [77_000_005, "a burst is rows, not memory"],
  [77_000_008, "a conversation whose turn was cut off goes on"],
  [77_000_011, "a session has one turn at a time"],
  [77_000_013, "a repeat is known after a restart"],
  [77_000_021, "a committed message is routed although its client left"],
  [77_000_022, "a drain ends by its deadline"],
  [77_000_065, "a late reply is not overtaken"],
  [77_000_076, "orphans are ended or awaited; messages that a new turn took over are in it"],
  [77_000_157, "a reply of unknown fate is sent once more, with a mark, and no more"],
  [77_000_258, "an attempt counts before it begins, a mark counts for its boot only, three crashes set a turn aside"]
]

/** Those that are played with all that is in plans now. */
export const wide: ReadonlyArray<readonly [seed: number, about: string]> = [
  [24, "a boot that ended because its store failed is no crash of a turn"],
  [101, "a question is answered by its number from another session of the conversation"],
  [507, "a question is answered by its number from another session of the conversation"],
  [973, "a post to a channel that a reload has taken away is held for it"],
  [850_003_956, "a question that nobody saw waits for a person"]
]

/** Those that are steered as well. */
export const steered: ReadonlyArray<readonly [seed: number, about: string]> = [
  [555, "what is taken behind a message that the agent did not take is answered once"],
  [1280, "what is taken behind a message that the agent did not take overtakes nothing"],
  [
    832_999_606,
    "a reply that is read when its channel is back may be open in the report of a store that fails right then"
  ]
]

/** Those whose agents say late, or at the end only, what they took. */
export const silent: ReadonlyArray<readonly [seed: number, about: string]> = [
  [1, "what was with an agent when its gateway was killed is answered with the turn that goes on"],
  [29, "what was with an agent whose attempt was cut off is in one answer of a channel that is pulled"],
  [34, "what was with an agent whose attempt failed is answered with the next try"],
  [54, "what was with an agent is in no second answer that could be taken for a copy"],
  [120, "what was with an agent is in no second answer where every doubt is held"]
]
