/**
 * From the pieces of an answer to what the pipeline is told: text, signs of life,
 * what it cost, and how it ended. An answer that is not whole says so or is a
 * failure; it is never passed on as if it were.
 */
import * as Agent from "@sluice/runtime/Agent"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type Failure, failure } from "./failures.ts"
import { withoutThoughts } from "./thinking.ts"
import type { Finish, Piece, Tokens } from "./wire.ts"

/** What stands at the end of an answer that is not whole. */
export interface Marks {
  /** It reached its greatest length. */
  readonly length: string
  /** A filter of the provider ended it. */
  readonly filter: string
}

/** An answer as it comes, and what was heard of it so far. */
export interface Spoken {
  readonly events: Stream.Stream<Agent.AgentEvent, Failure>
  readonly heard: Heard
}

/** What was heard of an answer so far. */
export interface Heard {
  said: boolean
  tokens: Tokens
  finish: Finish | undefined
  done: boolean
}

/** The longest answer that is passed on, in UTF-16 code units. */
const maxAnswer = 1_048_576

const alive: Agent.AgentEvent = { _tag: "Alive" }

const nothingSaid = (finish: Finish | undefined): Failure => {
  switch (finish) {
    case "length":
      return failure("Input", "the model used up its tokens without saying anything (reasoning?); raise maxTokens")
    case "filter":
      return failure("Input", "a filter of the provider kept the whole answer back")
    case "tools":
      return failure("Later", "the model asked for a tool although it was offered none")
    default:
      return failure("Later", "the model ended its answer without saying anything")
  }
}

const ending = ({ done, finish, said }: Heard, marks: Marks): Stream.Stream<Agent.AgentEvent, Failure> => {
  if (!done && finish === undefined) {
    return Stream.fail(failure("Transient", "the server ended the connection before the answer was whole"))
  }
  if (!said) return Stream.fail(nothingSaid(finish))
  const mark = finish === "length" ? marks.length : finish === "filter" ? marks.filter : ""
  return mark === "" ? Stream.empty : Stream.succeed(Agent.text(mark))
}

const usage = (tokens: Tokens, model: string): Stream.Stream<Agent.AgentEvent> =>
  Object.keys(tokens).length === 0 ? Stream.empty : Stream.succeed({ _tag: "Usage", usage: { ...tokens }, model })

/** How long what comes after the last word (usage, the end) is waited for. */
const afterFinish = "5 seconds"
/** And the end of the connection after the end of the answer, so that the next call can use it again. */
const afterDone = "200 millis"

/** A server that has said how its answer ended may then do nothing for ever: that takes nothing from the answer. */
const untilEnded = (pieces: Stream.Stream<Piece, Failure>, heard: Heard): Stream.Stream<Piece, Failure> =>
  Stream.transformPull(pieces, (pull) => {
    const orElse = () => Cause.done()
    return Effect.succeed(
      Effect.suspend(() =>
        heard.done
          ? Effect.timeoutOrElse(Effect.forever(pull), { duration: afterDone, orElse })
          : heard.finish === undefined
            ? pull
            : Effect.timeoutOrElse(pull, { duration: afterFinish, orElse })
      )
    )
  }).pipe(Stream.catch((failure) => (heard.done || heard.finish !== undefined ? Stream.empty : Stream.fail(failure))))

/** Listens to one answer of `model`. */
export const speak = (pieces: Stream.Stream<Piece, Failure>, model: string, marks: Marks): Spoken => {
  const heard: Heard = { said: false, tokens: {}, finish: undefined, done: false }
  const thoughts = withoutThoughts()
  let room = maxAnswer
  /** The piece at which the answer is longer than is passed on. */
  let last: Agent.AgentEvent | undefined
  const show = (text: string): ReadonlyArray<Agent.AgentEvent> => {
    if (text === "" || last !== undefined) return [alive]
    const event = Agent.text(text.slice(0, room))
    if (text.trim() !== "") heard.said = true
    room -= text.length
    if (room < 0) {
      heard.finish = "length"
      last = event
    }
    return [event]
  }
  const take = (piece: Piece): ReadonlyArray<Agent.AgentEvent> => {
    if (heard.done) return []
    switch (piece._tag) {
      case "Text":
        return show(thoughts.take(piece.text))
      case "Usage":
        heard.tokens = { ...heard.tokens, ...piece.tokens }
        return [alive]
      case "Finish":
        heard.finish = piece.finish
        return [alive]
      case "Done":
        heard.done = true
        return []
      default:
        return [alive]
    }
  }
  const told = untilEnded(pieces, heard).pipe(
    Stream.mapAccumArray(
      () => undefined,
      (state, chunk) => [state, chunk.flatMap(take)],
      {
        onHalt: () => {
          const rest = thoughts.rest()
          return rest === "" ? [] : show(rest)
        }
      }
    ),
    Stream.takeUntil((event) => event === last),
    Stream.concat(Stream.suspend(() => ending(heard, marks))),
    Stream.concat(Stream.suspend(() => usage(heard.tokens, model))),
    // An answer that broke off was paid for all the same.
    Stream.catch((failure) => Stream.concat(usage(heard.tokens, model), Stream.fail(failure)))
  )
  return { events: told, heard }
}
