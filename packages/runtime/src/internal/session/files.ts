/**
 * The files of messages as an agent is given them: each with the path that it is
 * read by, or as missing. Rows only know hashes; a file can be gone before its
 * row is, by a restored backup or somebody's hand, and an agent that is told so
 * does not fail on it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type About, Attachments } from "../../Attachments.ts"
import { Attachment, type Turn, type TurnMessage } from "../../Message.ts"

/** Presents files. Messages without any cost nothing. */
export interface Files {
  readonly ofMessages: (messages: ReadonlyArray<TurnMessage>) => Effect.Effect<ReadonlyArray<TurnMessage>>
  readonly ofTurn: (turn: Turn) => Effect.Effect<Turn>
  /** Stores a text as a file; `undefined` where there is no place for files, or where it could not be written. */
  readonly store: (text: string, about: About) => Effect.Effect<Attachment | undefined>
}

const present = Effect.fnUntraced(function* (store: Attachments["Service"], file: Attachment) {
  const found = yield* Effect.catch(store.find(file.hash), (error) =>
    // It can't be looked at now: its agent finds out.
    Effect.as(Effect.logWarning("A file of a message could not be looked for", error), file.size)
  )
  const path = store.path(file.hash)
  const { hash, name, size, type } = file
  return new Attachment({
    hash,
    size,
    type,
    ...(name === undefined ? {} : { name }),
    ...(found === undefined || path === undefined ? { missing: true } : { path })
  })
})

const bare = (messages: ReadonlyArray<TurnMessage>): boolean =>
  messages.every(({ attachments }) => attachments.length === 0)

/** Presents the files of the store in context; without one there are no files to present. */
export const makeFiles: Effect.Effect<Files> = Effect.map(Effect.serviceOption(Attachments), (store): Files => {
  const ofMessages: Files["ofMessages"] = (messages) =>
    Option.isNone(store) || bare(messages)
      ? Effect.succeed(messages)
      : Effect.forEach(messages, (message) =>
          Effect.map(
            Effect.forEach(message.attachments, (file) => present(store.value, file)),
            (attachments): TurnMessage => ({ ...message, attachments })
          )
        )
  const storing = (text: string, about: About): Effect.Effect<Attachment | undefined> =>
    Option.isNone(store)
      ? Effect.succeed(undefined)
      : store.value
          .put(Stream.encodeText(Stream.succeed(text)), about)
          .pipe(
            Effect.catch((error) =>
              Effect.as(
                Effect.logError("A long answer could not be written to a file: it is sent whole", error),
                undefined
              )
            )
          )
  return {
    ofMessages,
    store: storing,
    ofTurn: (turn) => {
      const { context, messages } = turn
      if (context === undefined) {
        return bare(messages)
          ? Effect.succeed(turn)
          : Effect.map(ofMessages(messages), (messages) => ({ ...turn, messages }))
      }
      return Effect.map(Effect.all([ofMessages(messages), ofMessages(context)]), ([messages, context]) => ({
        ...turn,
        messages,
        context
      }))
    }
  }
})
