/**
 * The port from a model agent to whoever writes its answers: a request in neutral words goes in, the pieces of an answer
 * come out. `Model.make` fulfils it over HTTP; with `Model.over` a host fulfils it with something of its own, such as a
 * pool of models in the same process. Why there is no answer is a failure of one kind, which decides what happens next.
 */
import type { Agent, AgentSession } from "@sluice/runtime/Agent"
import type * as Stream from "effect/Stream"
import type { Failure } from "./internal/model/failures.ts"
import type { ChatRequest, Manners, Piece } from "./internal/model/wire.ts"

export { type Failure, failure, fromAnswer as refusal, type Kind } from "./internal/model/failures.ts"
export { chat as openAiChat, finishOf } from "./internal/model/openai.ts"
export type { ChatMessage, ChatRequest, Finish, Manners, Part, Piece, Tokens } from "./internal/model/wire.ts"

/**
 * Answers one request. Interrupting the stream ends the work, also where it still waits for its turn. `manners` is what
 * the model has refused to be given so far, and is left out of the request. After a `Finish` what is late is not waited for.
 */
export type Complete = (request: ChatRequest, manners: Manners) => Stream.Stream<Piece, Failure>

/** Whoever writes answers, for any number of sessions. */
export interface Completions {
  /** The models that a person can choose with `/model`; none unless given. A request names the one that is meant. */
  readonly models?: Exclude<Agent["models"], undefined>
  /** For a session, so that it can be told whose turn a request is. */
  readonly open: (session: AgentSession) => Complete
}
