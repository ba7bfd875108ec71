"""Keras layers of both systems."""

from keras_wsss.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        f"{__name__}.attention": ["LabelAttention", "LabelEmbedding"],
        f"{__name__}.class_activation": ["ClassActivationHead"],
        f"{__name__}.densify": ["AttendedFeature", "DensifiedAttention"],
        f"{__name__}.dropout": ["FixedNameDropout"],
        f"{__name__}.feature_scale": ["FeatureScale"],
        f"{__name__}.guide": ["AppendFeatures", "GuideMaps", "StackMaps"],
        f"{__name__}.mean_field": ["MeanFieldCrf"],
        f"{__name__}.pairs": ["MergePairs", "RepeatForLabels", "SplitPairs"],
        f"{__name__}.pooling": [
            "MaxPoolingWithSwitches",
            "UnpoolingWithSwitches",
        ],
        f"{__name__}.refinement": ["ImageGuidedRefinement"],
        f"{__name__}.resampling": ["CaffeAveragePooling"],
    },
)
