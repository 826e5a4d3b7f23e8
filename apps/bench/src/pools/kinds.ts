/**
 * What is asked in PL1, and how an answer is read: chat, embeddings and a chat that is streamed. Each answer holds how
 * many milliseconds the backend had the request; the rest of the time is everybody else's.
 */

/** Parts of a streamed answer, spread over the backend's time. */
export const chunks = 5

/** Numbers of a vector. */
export const dimensions = 384

export const kinds = ["chat", "embeddings", "streamed chat"] as const
export type Kind = (typeof kinds)[number]

/** Milliseconds that the backend takes, so that 64 requests at once leave the cores time to spare; for each part of a stream. */
export const service = 100
export const serviceOf = (kind: Kind): number => (kind === "streamed chat" ? service * chunks : service)

const question = "hello, this is a message of a usual length for a chat"

export const messages = [
  { role: "system", content: "You answer in one sentence." },
  { role: "user", content: question }
] as const

export const texts = [question] as const

/** The request over HTTP. */
export const requestOf = (kind: Kind): { readonly path: string; readonly body: object } => {
  switch (kind) {
    case "chat":
      return { path: "/v1/chat/completions", body: { model: "writer", messages, max_tokens: 100 } }
    case "streamed chat":
      return { path: "/v1/chat/completions", body: { model: "writer", messages, max_tokens: 100, stream: true } }
    case "embeddings":
      return { path: "/v1/embeddings", body: { model: "search", input: texts } }
  }
}

/** What one request cost beyond what its backend needed, in milliseconds. */
export interface Cost {
  readonly whole: number
  /** Until the first part of a streamed answer. */
  readonly first?: number
}

/** The last number in a text. */
export const heldBy = (text: string): number => {
  const found = text.match(/\d+\.\d+/g)?.at(-1)
  if (found === undefined) throw new Error(`no time in the answer ${JSON.stringify(text)}`)
  return Number(found)
}
