/**
 * Markdown as Telegram shows it: the text without its marks, and where it is bold,
 * code or a link. As entities, not as marked-up text: nothing has to be escaped, so
 * nothing that somebody wrote can break a message.
 */
import { type Looks, write, Writer } from "../chat/markdown.ts"

/** A stretch of a text and how it looks, in UTF-16 units. */
export interface Entity extends Looks {
  readonly offset: number
  readonly length: number
}

/** A text as it is shown. */
export interface Rendered {
  readonly text: string
  readonly entities: ReadonlyArray<Entity>
}

/** Telegram shows a hundred of them. */
const mostEntities = 100

class EntityWriter extends Writer {
  readonly entities: Array<Entity> = []

  override as(looks: Looks, write: () => void): void {
    const offset = this.text.length
    const place = this.entities.length
    write()
    const length = this.text.length - offset
    // Outer ones first, as Telegram sorts them.
    if (length > 0) this.entities.splice(place, 0, { ...looks, offset, length })
  }
}

/** Renders Markdown. A text that can't be read as such, or of which nothing would be left, stays as it is. */
export const render = (markdown: string): Rendered => {
  const writer = new EntityWriter()
  if (!write(writer, markdown)) return { text: markdown, entities: [] }
  const text = writer.text.trimEnd()
  const entities = writer.entities
    .map((entity) => ({ ...entity, length: Math.min(entity.length, text.length - entity.offset) }))
    .filter(({ length }) => length > 0)
  return { text, entities: entities.slice(0, mostEntities) }
}
