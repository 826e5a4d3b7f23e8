/**
 * What is told of a running turn to those who watch its conversation. Nothing of
 * it is stored, and nobody is waited for.
 */
import type { Progress } from "../../Message.ts"
import type { Session } from "../../Session.ts"

/** The first part of a text, without half a character at its end. */
export const upTo = (text: string, most: number): string =>
  text.length <= most ? text : text.slice(0, most).replace(/[\uD800-\uDBFF]$/, "")

/** Whether the conversation is in another session now, as far as memory knows. */
const isElsewhere = ({ env, id }: Session, conversation: string): boolean =>
  (env.journal.currentUnsafe(conversation) ?? id) !== id

/** Tells those who watch the conversation. */
export const tell = (session: Session, event: Progress) => {
  const conversation = session.row?.conversationKey
  if (conversation === undefined || !session.env.watchers.has(conversation)) return
  session.env.watchers.tell(
    conversation,
    event._tag !== "State" && isElsewhere(session, conversation) ? { ...event, elsewhere: true } : event
  )
}
