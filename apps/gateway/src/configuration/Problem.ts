/**
 * What is wrong with the configuration or with the place that the gateway starts
 * in: which key, where it was written, its value and what to do about it. All
 * problems are told at once, and each ends the program with the exit code 78.
 */
import * as Schema from "effect/Schema"
import { escape } from "../LogEncoder.ts"

/** One thing to be put right. */
export interface Problem {
  /** The key (`http.port`), or a thing by name (`state directory`). */
  readonly field: string
  /** Its value as text; empty when there is none. */
  readonly value: string
  /** Where it was written: `sluice.yaml:3`, `SLUICE_PORT`, `--port`; empty when nowhere. */
  readonly origin: string
  readonly remedy: string
}

/** The program can't start like this. */
export class ConfigurationError extends Schema.TaggedError<ConfigurationError>()("ConfigurationError", {
  problems: Schema.Array(
    Schema.Struct({ field: Schema.String, value: Schema.String, origin: Schema.String, remedy: Schema.String })
  )
}) {
  override get message() {
    return this.problems.map(problemText).join("\n")
  }
}

/** A problem as one line. */
export const problemText = (problem: Problem): string =>
  `${problem.field}${problem.value === "" ? "" : ` = ${problem.value}`}${problem.origin === "" ? "" : ` (${problem.origin})`}: ${problem.remedy}`

/** Names of keys in whose place people write a secret itself: `token`, `apiKey`, `signingSecret`. */
export const isSecret = (key: string): boolean => /(?:token|secret|key|password)$/i.test(key)

/** The password of an address, and what is a token or a key by its looks: Slack's, Telegram's, those of model providers. */
const secrets = /(?<=:\/\/)[^\s"/@]+(?=@)|(?<=xox[a-z]-)[\w-]+|(?<=\bsk-)[\w-]{8,}|\b\d{6,}:[\w-]{30,}/g

/** A value as it is shown in a problem: JSON, at most 80 characters, nothing that moves a cursor, no secret. */
export const shown = (value: unknown): string => {
  const hidden = (key: string, one: unknown) => (typeof one === "string" && isSecret(key) ? "..." : one)
  const json = typeof value === "bigint" ? String(value) : (JSON.stringify(value, hidden) ?? String(value))
  const text = json.replace(secrets, "...")
  return escape(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}

/** Typing errors between two texts: letters changed, left out, put in, or swapped with the next one. */
const distance = (left: string, right: string): number => {
  let [before, above]: [Array<number>, Array<number>] = [
    [],
    Array.from({ length: right.length + 1 }, (_, index) => index)
  ]
  for (let row = 1; row <= left.length; row++) {
    const line = [row]
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1] ? 0 : 1
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
      line.push(
        Math.min(
          (above[column] ?? 0) + 1,
          (line[column - 1] ?? 0) + 1,
          (above[column - 1] ?? 0) + same,
          swapped ? (before[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
        )
      )
    }
    ;[before, above] = [above, line]
  }
  return above[right.length] ?? 0
}

/** The name that was probably meant; undefined when none is near. */
export const nearest = (name: string, known: Iterable<string>): string | undefined => {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, "")
  const most = Math.max(1, Math.floor(name.length / 3))
  const [best] = [...new Set(known)]
    .map((candidate) => ({ candidate, far: distance(plain(name).slice(0, 64), plain(candidate)) }))
    .filter(({ far }) => far <= most)
    .toSorted((left, right) => left.far - right.far)
  return best?.candidate
}

/** Names of which one is the beginning or the end of another: `token` of `tokenFile`, `embedding` of `text-embedding`. */
const related = (name: string, known: Iterable<string>): ReadonlyArray<string> => {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, "")
  const given = plain(name)
  const found = [...new Set(known)].filter((candidate) => {
    const [short = "", long = ""] = [given, plain(candidate)].toSorted((left, right) => left.length - right.length)
    return short.length >= 4 && (long.startsWith(short) || long.endsWith(short))
  })
  return found.length <= 2 ? found : []
}

/** `; did you mean "x"?`, or nothing. */
export const didYouMean = (name: string, known: Iterable<string>): string => {
  const one = nearest(name, known)
  const found = one === undefined ? related(name, known) : [one]
  return found.length === 0 ? "" : `; did you mean ${found.map((candidate) => `"${candidate}"`).join(" or ")}?`
}
