/**
 * An answer in more than one round. A turn whose agent ended without a word about
 * messages that it was handed goes on with them: what it says then is part of the
 * same answer, as a paragraph of its own, because the messages are the turn's and
 * are answered nowhere else.
 */
import * as Agent from "@sluice/runtime/Agent"
import * as Stream from "effect/Stream"

type Answer = Stream.Stream<Agent.AgentEvent, Agent.AgentError>

const apart = (answer: Answer): Answer =>
  Stream.suspend(() => {
    let isFirst = true
    return Stream.map(answer, (event) => {
      if (event._tag !== "Text" || !isFirst) return event
      isFirst = false
      return Agent.text(`\n\n${event.delta.replace(/^\n+/, "")}`)
    })
  })

/** A round, and the one that follows it, if one does; asked when the first one is over. */
export const goingOn = (round: Answer, following: () => Answer | undefined): Answer =>
  Stream.suspend(() => {
    let spoke = false
    const first = Stream.map(round, (event) => {
      if (event._tag === "Text" && event.delta !== "") spoke = true
      return event
    })
    const then = Stream.suspend(() => {
      const next = following()
      if (next === undefined) return Stream.empty
      return spoke ? apart(next) : next
    })
    return Stream.concat(first, then)
  })
