"""Options of the compact network's training."""

from gentool import Field, Options, PathList


class TrainOptions(Options):
    teacher: PathList = Field(
        description="Feature networks with VGG-19's layers: vgg19 (fetched once, 575 MB) or "
        "safetensors files; each layer comes from the first that has it"
    )
    crop_size: int = Field(128, ge=64, multiple_of=16, description="Side of the crops, pixels")
    learning_rate: float = Field(2e-3, gt=0, description="Highest learning rate")
    pool: int = Field(10, ge=0, description="Pictures that are optimised meanwhile, 0 for none")
    pool_steps: int = Field(2, ge=1, description="Their steps when they are used")
    pool_from: int = Field(100, ge=0, description="Steps of training before the first is used")
    gram_weight: float = Field(0.5, ge=0, description="Weight of the Gram matrices")
