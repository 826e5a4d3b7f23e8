/**
 * Typed values of a host on a session, in the journal: a plan, a project folder, a
 * counter. A value is read through its Schema each time, because another version of
 * the host may have written it: what no longer decodes is an error that names key and
 * session, never a guess. A change reads and writes in one transaction, so two that
 * meet are one after the other.
 */
import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** The longest value as it is stored, in bytes of UTF-8. */
export const maxValue = 65_536

/**
 * A value can't be read or stored. `Undecodable`: what is stored is none of its Schema's any more; `set` replaces it.
 * `Invalid`, `TooLarge`: what was to be stored. `NoSession`: there is no session of this name. `Storage`: the journal failed.
 */
export class SessionDataError extends Schema.TaggedError<SessionDataError>()("SessionDataError", {
  reason: Schema.Literals(["Undecodable", "Invalid", "TooLarge", "NoSession", "Storage"]),
  key: Schema.String,
  session: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message() {
    const why = {
      Undecodable: "what is stored is not of its schema any more",
      Invalid: "the value is not of its schema",
      TooLarge: `the value is longer than ${maxValue} bytes`,
      NoSession: "there is no such session",
      Storage: "the store failed"
    }[this.reason]
    const detail = this.cause instanceof Error ? `: ${this.cause.message}` : ""
    return `data "${this.key}" of session "${this.session}": ${why}${detail}`
  }
}

/** A kind of value that sessions can have. */
export interface SessionData<in out A> {
  readonly key: string
  /** What a session has that nobody has given another one. */
  readonly initial: A
  readonly decode: (text: string) => Result.Result<A, Schema.SchemaError>
  readonly encode: (value: A) => Result.Result<string, Schema.SchemaError>
}

/**
 * Names a kind of value: `key` is where it is stored, such as `acme/Plan`, and stays the same over versions of the host.
 *
 *     const Plan = SessionData.make("acme/Plan", Schema.Literals(["free", "pro"]), { initial: "free" })
 */
export const make = <A, I>(
  key: string,
  schema: Schema.Codec<A, I>,
  options: { readonly initial: NoInfer<A> }
): SessionData<A> => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/.test(key)) {
    throw new TypeError(`"${key}" is no key: use letters, digits, and . _ / - between them`)
  }
  const json = Schema.fromJsonString(Schema.toCodecJson(schema))
  return {
    key,
    initial: options.initial,
    decode: Schema.decodeUnknownResult(json),
    encode: Schema.encodeUnknownResult(json)
  }
}

/** The values of one session. */
export interface SessionValues {
  readonly get: <A>(data: SessionData<A>) => Effect.Effect<A, SessionDataError>
  /** Committed when it returns. Also replaces what no longer decodes. */
  readonly set: <A>(data: SessionData<A>, value: NoInfer<A>) => Effect.Effect<void, SessionDataError>
  /** Replaces the value by what `change` makes of it, in one transaction, and returns that. `change` may run more than once. */
  readonly update: <A, const B extends A>(
    data: SessionData<A>,
    change: (value: A) => B
  ) => Effect.Effect<B, SessionDataError>
}
