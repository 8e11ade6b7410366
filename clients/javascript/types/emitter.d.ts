/**
 * Events with typed payloads. `EventTarget` would wrap every payload in an `Event` and cannot be typed.
 *
 * @module
 */
/**
 * @template {Record<string, any>} Events  name → what the listener is given
 */
export declare class Emitter<Events extends Record<string, any>> {
    #private;
    /**
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(detail: Events[Name]) => unknown} listener
     * @returns {() => void}  removes it again
     */
    on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => unknown): () => void;
    /**
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(detail: Events[Name]) => unknown} listener
     */
    off<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => unknown): void;
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
    once<Name extends keyof Events>(name: Name, { accept, signal }?: {
        accept?: (detail: Events[Name]) => boolean;
        signal?: AbortSignal;
    }): Promise<Events[Name]>;
    /**
     * @param {keyof Events} name
     * @returns {boolean}
     */
    hasListeners(name: keyof Events): boolean;
    /**
     * @param {keyof Events} name
     * @returns {((detail: any) => unknown) | undefined}  the listener that came last
     */
    newest(name: keyof Events): ((detail: any) => unknown) | undefined;
    /**
     * A listener that throws, or whose promise rejects, is reported and does not keep the others from being called.
     *
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {Events[Name]} detail
     */
    emit<Name extends keyof Events>(name: Name, detail: Events[Name]): void;
}
