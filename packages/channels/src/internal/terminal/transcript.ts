/**
 * What a person sees of a conversation. An answer is written as it comes; when
 * the stored reply arrives, only what is missing of it is added, and when pieces
 * were lost on the way it is written whole: the stored reply is the truth, the
 * stream is a preview. Nothing reaches the screen with a control character in it.
 */
import type { Progress } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import { visible, visibleLines } from "../visible.ts"
import type { Incoming } from "./line.ts"

/** Where a conversation is shown. What it is given is safe to show. */
export interface Screen {
  /** The gateway begins to speak: what is written next is its, until a note comes or somebody else's turn. */
  readonly begin?: Effect.Effect<void>
  /** Text of an answer, as it comes: perhaps a part of a line, perhaps several lines. */
  readonly write: (text: string) => Effect.Effect<void>
  /** A line of its own beside the answers: a state, a tool, a notice. */
  readonly note: (line: string) => Effect.Effect<void>
  /** A message is on disk now. */
  readonly accepted?: (message: {
    readonly id: string
    readonly text: string
    readonly duplicate: boolean
    readonly held: boolean
  }) => Effect.Effect<void>
}

/** Turns whose reply may still come; more are written whole. */
const maxEarlier = 8

const endsHigh = (text: string): boolean => /[\ud800-\udbff]$/.test(text)

/** The transcript of one conversation on one screen. */
export class Transcript {
  private readonly screen: Screen
  private readonly streaming: boolean
  /** What of the running answer is on the screen, as it came. */
  private shown = ""
  private turn: string | undefined
  private turnOver = true
  /** The turn whose answer is stored: pieces of it that come late are known already. */
  private answered: string | undefined
  /** What is on the screen of turns before this one whose stored reply is still on its way. */
  private readonly earlier = new Map<string, string>()
  /** The first half of a character whose other half is in the next piece. */
  private half = ""
  private midLine = false
  /** Whoever reads knows already who speaks. */
  private marked = false

  constructor(screen: Screen, streaming: boolean) {
    this.screen = screen
    this.streaming = streaming
  }

  private write(text: string): Effect.Effect<void> {
    if (text === "") return Effect.void
    this.midLine = !text.endsWith("\n")
    const written = this.screen.write(visibleLines(text))
    if (this.marked || this.screen.begin === undefined) return written
    this.marked = true
    return Effect.andThen(this.screen.begin, written)
  }

  /** Ends a line that is not finished, so that what follows stands alone. */
  private readonly freshLine: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.midLine) return Effect.void
    this.midLine = false
    return this.screen.write("\n")
  })

  /** A line of its own. */
  note(line: string): Effect.Effect<void> {
    return Effect.andThen(
      this.freshLine,
      Effect.suspend(() => {
        this.marked = false
        return this.screen.note(visible(line, 2000))
      })
    )
  }

  /** What was streamed so far may have holes from here on: the stored reply will be written whole. */
  readonly cut: Effect.Effect<void> = Effect.andThen(
    this.freshLine,
    Effect.sync(() => this.begin(undefined))
  )

  private begin(turn: string | undefined): void {
    if (turn === undefined) this.earlier.clear()
    else if (this.turn !== undefined && this.turn !== turn && this.shown !== "") this.keep(this.turn, this.shown)
    this.shown = ""
    this.half = ""
    this.marked = false
    this.turn = turn
    this.turnOver = turn === undefined
  }

  private keep(turn: string, shown: string): void {
    this.earlier.set(turn, shown)
    const [oldest] = this.earlier.keys()
    if (this.earlier.size > maxEarlier && oldest !== undefined) this.earlier.delete(oldest)
  }

  /** Whether the whole of a reply is on the screen, above the turn that has begun since. */
  private isKnown({ text, turn = "" }: Incoming): boolean {
    const shown = this.earlier.get(turn)
    this.earlier.delete(turn)
    if (shown === undefined || !shown.startsWith(text)) return false
    const rest = shown.slice(text.length).replace(/^\s+/, "")
    if (rest !== "") this.keep(turn, rest)
    return true
  }

  private piece(turn: string, delta: string): Effect.Effect<void> {
    // the stream and the stored replies come on different ways, in any order
    if (turn === this.answered) return Effect.void
    const joined = this.half + delta
    const ready = endsHigh(joined) ? joined.slice(0, -1) : joined
    if (turn === this.turn && !this.turnOver) {
      this.half = joined.slice(ready.length)
      this.shown += ready
      return this.write(ready)
    }
    return Effect.andThen(
      this.freshLine,
      Effect.suspend(() => {
        this.begin(turn)
        return this.piece(turn, delta)
      })
    )
  }

  /** A stored reply. */
  reply(reply: Incoming): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { shown } = this
      // a notice may belong to the turn without being its answer
      const isAnswer = reply.kind === "answer" && reply.turn !== undefined
      const running = isAnswer && reply.turn === this.turn
      if (isAnswer) this.answered = reply.turn
      if (running && shown !== "") {
        const known = reply.text.startsWith(shown)
        const more = shown.startsWith(reply.text)
        if (known || more) {
          // one of several replies of its turn: the rest of what is shown belongs to the next
          this.shown = more ? shown.slice(reply.text.length).replace(/^\s+/, "") : ""
          return Effect.andThen(this.write(known ? reply.text.slice(shown.length) : ""), this.freshLine)
        }
      }
      // the next turn may begin before the reply of this one is read
      if (isAnswer && !running && this.isKnown(reply)) return Effect.void
      // the answer to something else, in the middle of this one, leaves it where it is
      if (running) this.shown = ""
      return Effect.andThen(
        this.freshLine,
        Effect.suspend(() => {
          this.marked = false
          return Effect.andThen(
            this.write(`${reply.text}\n`),
            // what goes on after it is the running answer
            Effect.sync(() => (this.marked = false))
          )
        })
      )
    })
  }

  /** Something that happens in a turn. */
  happened(progress: Progress): Effect.Effect<void> {
    return Effect.suspend(() => {
      switch (progress._tag) {
        case "Text":
          return this.streaming ? this.piece(progress.turn, progress.delta) : Effect.void
        case "ToolStarted":
          return this.note(`- ${progress.name} ...`)
        case "Line":
          return this.note(progress.text)
        case "TurnEnded":
          // a later attempt of the same turn begins its answer anew
          this.turnOver = true
          return this.freshLine
        case "Permission":
        // the question with its options comes as a reply, so that it is there after a reconnect too
        case "State":
        case "ToolFinished":
          return Effect.void
      }
    })
  }
}
