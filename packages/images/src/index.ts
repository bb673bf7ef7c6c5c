/** Recipes to images: bases, bundles, admission, bills of materials, and the catalogue of an installation. */
export { admitMetadata, admitRootfs, type Admitted } from "./admission.ts";
export { openAptSource, type AptSource, type AptSourceOptions } from "./apt-source.ts";
export { BOOTSTRAPS, ensureBase, type BaseImage, type BaseOptions } from "./base-image.ts";
export { baseKey, planBase, type BasePlan } from "./base-plan.ts";
export type { Bootstrap, Bootstraps, BootstrappedTree } from "./bootstrap.ts";
export { BROKER_MINIMUM, ensureBroker, type BrokerOptions, type BrokerProgram } from "./broker-program.ts";
export { bundle, type Bundle, type BundleOptions } from "./bundle.ts";
export {
  buildCatalogue,
  readImageRecord,
  type CatalogueOptions,
  type CataloguedPackage,
} from "./catalogue.ts";
export { runCommand, type OnProgress, type RunCommand } from "./command.ts";
export { ImageFault, type ImageFaultCode } from "./image-fault.ts";
export { ImageRecord } from "./image-record.ts";
export { ensureImage, type ImageInput, type InstrumentImage } from "./instrument-image.ts";
export { findAlpineMirror, findDebianMirror } from "./mirrors.ts";
export { ensureNodeDisk, findNodeBinary, type NodeDiskOptions } from "./node-disk.ts";
