/**
 * Embeddings of texts and of images by a model that is loaded in this thread: batch after batch, so that one large request
 * takes no more memory than a small one and can be cancelled between two of them.
 */
import type { ImageEmbeddingRequest, TextEmbeddingRequest } from "../../Capabilities.ts"
import {
  type Answering,
  type Charge,
  type Library,
  type Model,
  Refused,
  type Tensor,
  type Tokenizer
} from "./library.ts"
import { cut, normalized, pooled, rowsOf } from "./pooling.ts"

const batches = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size))

/** What a model gives, as plain numbers: some give half floats. */
const plain = (tensor: Tensor): Tensor => (tensor.type === "float16" ? tensor.to("float32") : tensor)

const countOf = ({ data }: Tensor): number => {
  let count = 0
  for (let at = 0; at < data.length; at++) count += Number(data[at])
  return count
}

const finished = (charge: Charge, vectors: ReadonlyArray<ReadonlyArray<number>>, dimensions?: number) => {
  const found = cut(vectors, dimensions)
  if (found === undefined) {
    throw new Refused(
      `dimensions ${dimensions}: the model's vectors have ${vectors[0]?.length ?? 0} values; ask for fewer`
    )
  }
  const rows = charge.normalize ? found.map(normalized) : found
  // In one piece: a number for each value would cost whoever gets it more than the model costs here.
  const width = rows[0]?.length ?? 0
  const values = new Float32Array(rows.length * width)
  for (const [at, row] of rows.entries()) values.set(row, at * width)
  return { values, width }
}

/** Texts: tokens, the model, one vector for each text. */
export const texts = (charge: Charge, tokenizer: Tokenizer, model: Model): Answering => {
  const embedded = async (batch: ReadonlyArray<string>) => {
    const inputs = tokenizer(batch, { padding: true, truncation: true })
    const outputs = await model(inputs)
    const { sentence_embedding: whole } = outputs
    const hidden = outputs["last_hidden_state"] ?? outputs["token_embeddings"] ?? outputs["logits"]
    const mask = inputs.attention_mask
    if (whole !== undefined && charge.pooling === undefined) return { rows: rowsOf(plain(whole)), mask }
    if (hidden === undefined) throw new Error(`the model gives ${Object.keys(outputs).join(", ")}, and no embedding`)
    return { rows: pooled(plain(hidden), mask, charge.pooling ?? "mean"), mask }
  }
  return async (request, _stream, { cancelled }) => {
    const { dimensions, texts } = request as TextEmbeddingRequest
    const vectors: Array<ReadonlyArray<number>> = []
    let tokens = 0
    for (const batch of batches(texts, charge.batch)) {
      if (cancelled()) return undefined
      const { mask, rows } = await embedded(batch)
      tokens += countOf(mask)
      vectors.push(...rows)
    }
    return { ...finished(charge, vectors, dimensions), tokens }
  }
}

const imageOf = async (library: Library, address: string, at: number): Promise<object> => {
  // Nothing is fetched on behalf of whoever asks.
  if (!address.startsWith("data:")) {
    throw new Refused(`image ${at + 1}: this model reads images from data: addresses only; send the image itself`)
  }
  try {
    return await library.RawImage.fromBlob(await (await fetch(address)).blob())
  } catch (cause) {
    throw new Refused(`image ${at + 1}: it can't be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

type Processor = Awaited<ReturnType<Library["AutoProcessor"]["from_pretrained"]>>

/** Images: pixels as the model wants them, the model, one vector for each image. */
export const images = (charge: Charge, library: Library, processor: Processor, model: Model): Answering => {
  const embedded = async (batch: ReadonlyArray<object>) => {
    const { pixel_values } = await processor(batch)
    const outputs = await model({ pixel_values })
    const whole = outputs["image_embeds"] ?? outputs["pooler_output"]
    const found = whole ?? outputs["last_hidden_state"] ?? outputs["logits"]
    if (found === undefined) throw new Error(`the model gives ${Object.keys(outputs).join(", ")}, and no embedding`)
    if (found.dims.length === 2) return rowsOf(plain(found))
    const [count = 0, length = 0] = found.dims
    // Of an image all patches count.
    const mask = { dims: [count, length], data: new Uint8Array(count * length).fill(1) } as unknown as Tensor
    return pooled(plain(found), mask, charge.pooling ?? "cls")
  }
  return async (request, _stream, { cancelled }) => {
    const { images } = request as ImageEmbeddingRequest
    const vectors: Array<ReadonlyArray<number>> = []
    for (const [at, batch] of batches(images, charge.batch).entries()) {
      if (cancelled()) return undefined
      const pictures = await Promise.all(
        batch.map((address, index) => imageOf(library, address, at * charge.batch + index))
      )
      vectors.push(...(await embedded(pictures)))
    }
    return finished(charge, vectors)
  }
}
