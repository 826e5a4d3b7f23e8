/**
 * What every side of T4 does: 64 clients each write the messages of one conversation, the next one when the last one was
 * acknowledged durably; they are handled in order per conversation and completed durably. The tally keeps the sides
 * honest: a message that is handled twice or out of order is counted, whoever does it.
 */

/** One client a conversation. */
export const conversations = 64

export const text = "hello, this is a message of a usual length for a chat"

export interface Message {
  readonly conversation: number
  /** Counts from 0 in each conversation and round. */
  readonly index: number
  readonly text: string
}

/** What came of one round. */
export interface Outcome {
  readonly millis: number
  /** Messages that were handled out of order or twice. */
  readonly faults: number
}

/** One side, in a process of its own. */
export interface Contestant {
  /** Versions and settings that decide its speed. */
  readonly setting: string
  /** Sends so many messages and waits until the last one is completed. */
  readonly round: (count: number) => Promise<Outcome>
  readonly close: () => Promise<void>
}

/** It can't take part here; the message says what is missing and how to get it. */
export class Absent extends Error {}

export interface Tally {
  /** A message reached its handler. */
  readonly handled: (message: Pick<Message, "conversation" | "index">) => void
  /** One more message is completed. */
  readonly completed: () => void
  /** Resolves when all are completed. */
  readonly all: Promise<void>
  readonly faults: () => number
}

export const tally = (count: number): Tally => {
  const next = new Int32Array(conversations)
  const { promise, resolve } = Promise.withResolvers<void>()
  let completed = 0
  let faults = 0
  return {
    handled: ({ conversation, index }) => {
      if (next[conversation] !== index) faults++
      next[conversation] = Math.max(next[conversation] ?? 0, index + 1)
    },
    completed: () => {
      if (++completed === count) resolve()
    },
    all: promise,
    faults: () => faults
  }
}

/** Every conversation's client sends its share, one message after the other. */
export const sendAll = async (count: number, send: (message: Message) => Promise<unknown>): Promise<void> => {
  await Promise.all(
    Array.from({ length: conversations }, async (_, conversation) => {
      for (let index = 0; index < count / conversations; index++) await send({ conversation, index, text })
    })
  )
}

/** A round of a side that calls `handled` and `completed` of the running tally. */
export const rounds = (send: (message: Message) => Promise<unknown>) => {
  let running = tally(0)
  return {
    tally: (): Tally => running,
    round: async (count: number): Promise<Outcome> => {
      running = tally(count)
      const start = performance.now()
      await sendAll(count, send)
      await running.all
      return { millis: performance.now() - start, faults: running.faults() }
    }
  }
}
