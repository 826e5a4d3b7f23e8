/**
 * A model agent whose answers come from a pool of this very program: its requests stand in the pool's line, in turns by
 * conversation, without HTTP in between. A turn that is cut leaves the line. What the pool can't answer is told in the
 * agent's own words; a pool that stops with the gateway fails no turn.
 */
import * as Completions from "@sluice/agents/Completions"
import * as Model from "@sluice/agents/Model"
import * as Capabilities from "@sluice/pools/Capabilities"
import type { PoolError } from "@sluice/pools/PoolError"
import type { Request } from "@sluice/pools/Pool"
import type * as Routes from "@sluice/pools/Routes"
import type * as Agent from "@sluice/runtime/Agent"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** A pool that can hold a conversation. */
export type Talker = Extract<Routes.Model, { readonly capability: "text-generation" | "vision" }>

/** A pool, when it is one of those. */
export const talker = (found: Routes.Model | undefined): Talker | undefined =>
  found?.capability === "text-generation" || found?.capability === "vision" ? found : undefined

/** Where such pools are found by name, looked up with each request: a reload exchanges them. */
export interface Pools {
  readonly find: (name: string) => Talker | undefined
  /** The names that a person can choose from. */
  readonly names: ReadonlyArray<string>
}

/** What a pool is asked, as far as an agent can say it. */
export interface Options extends Model.Manner {
  /** Instead of the pool's own request timeout, the waiting included. */
  readonly requestTimeout?: Duration.Input
}

const { failure } = Completions

/** The pool's reasons in the agent's words. A place in its own line is worth waiting for, a backend's only for a while. */
const failureOf = ({ message, reason }: PoolError): Completions.Failure => {
  switch (reason._tag) {
    case "Overloaded":
      return failure(reason.position > 0 ? "Full" : "Transient", message, { retryAfter: reason.retryAfter })
    case "CircuitOpen":
      return failure("Transient", message, { retryAfter: reason.retryAfter })
    case "LoadFailed":
    case "Transport":
      return failure("Transient", message)
    case "MemoryExhausted":
    case "Stalled":
    case "Timeout":
      return failure("Later", message)
    case "NoWorker":
      return failure("Operator", message)
    case "ShuttingDown":
      return failure("Stopping", message)
    case "ModelError":
      return { ...Completions.refusal(reason.status ?? 400, reason.detail), message }
  }
}

const piecesOf = ({ delta, finish, text, tokens }: Capabilities.ChatPart): ReadonlyArray<Completions.Piece> => {
  // A model's own words for "no" are for the person.
  const refusal = delta?.["refusal"]
  const words = (text ?? "") + (typeof refusal === "string" ? refusal : "")
  return [
    words === "" ? { _tag: "Alive" } : { _tag: "Text", text: words },
    ...(finish === undefined ? [] : [{ _tag: "Finish", finish: Completions.finishOf(finish) } as const]),
    ...(tokens === undefined ? [] : [{ _tag: "Usage", tokens: tokensOf(tokens) } as const])
  ]
}

const tokensOf = ({ input, output }: Capabilities.Tokens): Completions.Tokens => ({
  ...(input === undefined ? {} : { inputTokens: input }),
  ...(output === undefined ? {} : { outputTokens: output })
})

const decodeText = Schema.decodeUnknownEffect(Capabilities.TextRequest)
const decodeVision = Schema.decodeUnknownEffect(Capabilities.VisionRequest)

/** The request as the pool's capability takes it. Only images can be wrong about it; who reads none is asked without them. */
const requestOf = (capability: Talker["capability"], request: Completions.ChatRequest, manners: Completions.Manners) =>
  Effect.mapError(
    (capability === "vision" ? decodeVision : decodeText)(Completions.openAiChat(request, manners)),
    ({ message }) => failure("Images", message, { never: capability === "text-generation" })
  )

const ended: Completions.Piece = { _tag: "Done" }

/** Asks the pool of that name. */
const ask = (
  pools: Pools,
  terms: Request,
  request: Completions.ChatRequest,
  manners: Completions.Manners
): Stream.Stream<Completions.Piece, Completions.Failure> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const found = pools.find(request.model)
      if (found === undefined) {
        const known = pools.names.length === 0 ? "there is none" : `there is ${pools.names.join(", ")}`
        return yield* Effect.fail(failure("Operator", `there is no pool "${request.model}" for chats; ${known}`))
      }
      const asked = yield* requestOf(found.capability, request, manners)
      return found.pool
        .stream(asked, terms)
        .pipe(
          Stream.mapError(failureOf),
          Stream.map(piecesOf),
          Stream.flattenIterable,
          Stream.concat(Stream.succeed(ended))
        )
    })
  )

/** The completions of the pools, for any number of sessions. */
export const completions = (
  pools: Pools,
  { requestTimeout }: Pick<Options, "requestTimeout"> = {}
): Completions.Completions => ({
  models: pools.names,
  open: ({ conversation }) => {
    // A turn that runs is work that a stop lets finish: it is taken also while the pool drains.
    const terms: Request = {
      key: conversation,
      priority: "interactive",
      inside: true,
      ...(requestTimeout === undefined ? {} : { timeout: requestTimeout })
    }
    return (request, manners) => ask(pools, terms, request, manners)
  }
})

/** Makes the agent. It has no helpers that a crash could leave behind, and keeps nothing that it could forget. */
export const make = (pools: Pools, options: Options): Agent.Agent => ({
  ...Model.over(completions(pools, options), options),
  orphans: () => Effect.succeed([])
})
