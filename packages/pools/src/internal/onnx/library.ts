/**
 * What is used of the library that loads ONNX models, and what the thread is charged with. The library is somebody's
 * choice to install, so nothing here imports it: these are the few shapes of it that the thread relies on.
 */

/** What the thread is told when it starts. */
export interface Charge {
  readonly task: "text-embedding" | "image-embedding" | "text-generation"
  /** Absolute path of the folder that holds the model. */
  readonly folder: string
  /** Folders from which the library is looked for, in this order. */
  readonly from: ReadonlyArray<string>
  readonly dtype: string | undefined
  readonly device: string
  /** Threads of one step of the model. */
  readonly threads: number | undefined
  readonly pooling: Pooling | undefined
  readonly normalize: boolean
  /** How many items go through the model at once. */
  readonly batch: number
  readonly maxTokens: number
}

export type Pooling = "mean" | "cls" | "last"

export interface Tensor {
  readonly dims: ReadonlyArray<number>
  readonly data: ArrayLike<number | bigint>
  readonly type: string
  to(type: string): Tensor
}

export type Tensors = Readonly<Record<string, Tensor | undefined>>

export interface Tokenizer {
  (texts: ReadonlyArray<string>, options: object): { readonly input_ids: Tensor; readonly attention_mask: Tensor }
  readonly chat_template: unknown
  apply_chat_template(messages: ReadonlyArray<object>, options: object): string
}

export interface Model {
  (inputs: object): Promise<Tensors>
  generate(options: object): Promise<unknown>
  readonly config: Readonly<Record<string, unknown>>
}

interface From<A> {
  from_pretrained(folder: string, options: object): Promise<A>
}

/** `@huggingface/transformers`, as far as it is used. */
export interface Library {
  readonly env: { allowRemoteModels: boolean; fetch: unknown; useFSCache: boolean; logLevel: unknown }
  readonly AutoTokenizer: From<Tokenizer>
  readonly AutoProcessor: From<(images: ReadonlyArray<object>) => Promise<{ readonly pixel_values: Tensor }>>
  readonly AutoConfig: From<Readonly<Record<string, unknown>>>
  readonly AutoModel: From<Model>
  readonly AutoModelForCausalLM: From<Model>
  readonly AutoModelForImageFeatureExtraction: From<Model> & { supports(type: unknown): boolean }
  readonly RawImage: { fromBlob(blob: Blob): Promise<object> }
  readonly TextStreamer: new (tokenizer: Tokenizer, options: object) => object
  readonly InterruptableStoppingCriteria: new () => { interrupt(): void }
}

/** How a model file's name ends for each of the kinds of numbers it may hold, most exact first. */
export const suffixes: Readonly<Record<string, string>> = {
  fp32: "",
  fp16: "_fp16",
  q8: "_quantized",
  int8: "_int8",
  uint8: "_uint8",
  q4: "_q4",
  q4f16: "_q4f16",
  bnb4: "_bnb4"
}

/** The request is at fault, not the model: it would be refused again. */
export class Refused extends Error {}

/** What one request may do while it runs. */
export interface Running {
  /** Whether its caller has left. */
  readonly cancelled: () => boolean
  /** Told when that happens. */
  onCancel: (() => void) | undefined
  readonly part: (part: unknown) => void
}

/** A loaded model: answers a request, or writes its parts and returns nothing. */
export type Answering = (request: unknown, stream: boolean, running: Running) => Promise<unknown>
