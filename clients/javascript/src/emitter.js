/**
 * Events with typed payloads. `EventTarget` would wrap every payload in an `Event` and cannot be typed.
 *
 * @module
 */

/**
 * @template {Record<string, any>} Events  name → what the listener is given
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(detail: any) => unknown>>} */
  #listeners = new Map();

  /**
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => unknown} listener
   * @returns {() => void}  removes it again
   */
  on(name, listener) {
    let set = this.#listeners.get(name);
    if (!set) this.#listeners.set(name, (set = new Set()));
    set.add(listener);
    return () => this.off(name, listener);
  }

  /**
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => unknown} listener
   */
  off(name, listener) {
    const set = this.#listeners.get(name);
    set?.delete(listener);
    if (set?.size === 0) this.#listeners.delete(name);
  }

  /**
   * The next such event, or the next that satisfies `accept`.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {object} [options]
   * @param {(detail: Events[Name]) => boolean} [options.accept]
   * @param {AbortSignal} [options.signal]  rejects with its reason
   * @returns {Promise<Events[Name]>}
   */
  once(name, { accept = () => true, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        remove();
        reject(signal?.reason);
      };
      const remove = this.on(name, (detail) => {
        if (!accept(detail)) return;
        remove();
        signal?.removeEventListener("abort", abort);
        resolve(detail);
      });
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /**
   * @param {keyof Events} name
   * @returns {boolean}
   */
  hasListeners(name) {
    return this.#listeners.has(name);
  }

  /**
   * @param {keyof Events} name
   * @returns {((detail: any) => unknown) | undefined}  the listener that came last
   */
  newest(name) {
    return [...(this.#listeners.get(name) ?? [])].at(-1);
  }

  /**
   * A listener that throws, or whose promise rejects, is reported and does not keep the others from being called.
   *
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} detail
   */
  emit(name, detail) {
    const failed = (/** @type {unknown} */ error) => console.error(`a listener of ${String(name)} failed`, error);
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        const result = listener(detail);
        if (result instanceof Promise) result.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }
}
