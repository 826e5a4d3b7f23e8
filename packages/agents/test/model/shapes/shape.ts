/**
 * How a server answers, byte for byte as its documentation shows it, and what is
 * to be understood by it.
 */
export interface Shape {
  readonly name: string
  readonly api: "openai" | "anthropic"
  /** Where the server's maker shows it. */
  readonly source: string
  /** Of the response; `text/event-stream` unless said otherwise. */
  readonly type?: string
  /** 200 unless said otherwise. */
  readonly status?: number
  readonly body: string
  /** The text of the answer; a pattern of the cause when there is none. */
  readonly answer?: string
  readonly fails?: RegExp
  readonly reason?: "Failed" | "Rejected" | "NoModel"
  readonly usage?: Readonly<Record<string, number>>
}

/** Chunks as lines of a stream. */
export const stream = (...events: ReadonlyArray<string>): string => events.map((data) => `data: ${data}\n\n`).join("")
