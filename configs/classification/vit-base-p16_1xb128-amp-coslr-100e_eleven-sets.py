"""Fine-tuning of the base ViT on one of eleven smaller sets, named by the environment variable DATASET.

    DATASET=cifar100 python tools/train.py configs/classification/vit-base-p16_1xb128-amp-coslr-100e_eleven-sets.py \
        --cfg-options model.backbone.init_cfg.checkpoint=PRETRAINED.pth

A variable, since --cfg-options come when this file has been read already. The names are those of the table below;
without one it is flowers102. tools/test.py wants the same. Folders are below data/, each as mmpretrain's class for the
set describes it (Caltech-101 has no official split: with the lists that mmpretrain publishes); nothing is downloaded.

Untuned: MAE's ImageNet recipe for a smaller batch. That MixedAE was tried on these sets is a recollection, and neither
recipe nor results are at hand: try several learning rates (`optim_wrapper.optimizer.lr`) and epochs for each. Metrics
are the usual ones: mean per-class accuracy (`single-label/recall`), top-1, and for VOC2007 mean average precision over
11 points of the curve.
"""

_base_ = './vit-base-p16_8xb128-amp-coslr-100e_in1k.py'

dataset = '{{$DATASET:flowers102}}'

top_1 = dict(type='mmpretrain.Accuracy', topk=(1,))
per_class = dict(type='mmpretrain.SingleLabelMetric', items=('recall',))
average_precision = dict(type='mixmae_mm.ElevenPointPrecision')
# mmpretrain's class, folder, what to train on, number of classes, metric
sets = dict(
    aircraft=('FGVCAircraft', 'fgvc-aircraft-2013b', 'trainval', 100, per_class),
    caltech101=('Caltech101', 'caltech-101', 'train', 102, per_class),  # with the background
    cars=('StanfordCars', 'Stanford_Cars', 'train', 196, top_1),
    cifar10=('CIFAR10', 'cifar10', 'train', 10, top_1),
    cifar100=('CIFAR100', 'cifar100', 'train', 100, top_1),
    dtd=('DTD', 'dtd', 'trainval', 47, top_1),
    flowers102=('Flowers102', 'Flowers102', 'trainval', 102, per_class),
    food101=('Food101', 'food-101', 'train', 101, top_1),
    pets=('OxfordIIITPet', 'Oxford-IIIT_Pets', 'trainval', 37, per_class),
    sun397=('SUN397', 'SUN397', 'train', 397, top_1),
    voc2007=('VOC', 'VOC2007', 'trainval', 20, average_precision),
)
if dataset not in sets:
    raise ValueError(f"DATASET '{dataset}' is unknown: take one of {', '.join(sets)}")
kind, folder, train_split, num_classes, metric = sets[dataset]

batch_size = 128
lr = _base_.base_lr * batch_size / 256
work_dir = './work_dirs/{{fileBasenameNoExtension}}/' + dataset

head = dict(num_classes=num_classes)
augments = _base_.model.train_cfg
if kind == 'VOC':  # several classes an image, which are not smoothed or mixed
    head = dict(
        _delete_=True,
        type='mmpretrain.MultiLabelLinearClsHead',
        num_classes=num_classes,
        in_channels=_base_.model.head.in_channels,
        loss=dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True),
        init_cfg=_base_.model.head.init_cfg,
    )
    augments = None
model = dict(data_preprocessor=dict(num_classes=num_classes), head=head, train_cfg=augments)

seeding, loading, *augmenting = _base_.train_pipeline
loading, source = [loading], dict(type=f'mmpretrain.{kind}', data_root=f'data/{folder}')
if kind.startswith('CIFAR'):  # pixels in memory, RGB
    loading = [dict(type='mmpretrain.NumpyToPIL'), dict(type='mmpretrain.PILToNumpy', to_bgr=True)]
    source = dict(source, download=False)
*cropping, packing = _base_.test_pipeline[1:]
packing = dict(packing, algorithm_keys=('gt_label_difficult',))  # of VOC; others have none
train_pipeline = [seeding, *loading, *augmenting]
test_pipeline = [*loading, *cropping, packing]

train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(source, _delete_=True, split=train_split, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(source, _delete_=True, split='test', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [metric]
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=lr))
warmup, cosine = _base_.param_scheduler
param_scheduler = [warmup, dict(cosine, eta_min_ratio=_base_.min_lr / lr)]
auto_scale_lr = dict(base_batch_size=batch_size)
